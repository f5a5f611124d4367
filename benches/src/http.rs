//! HTTP/1.1 over one kept connection, as much of it as the feed server speaks.
//!
//! A client of its own, because a library's client would take more CPU from the measured service than the service needs.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// A service that says nothing for this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Client {
    stream: TcpStream,
    address: SocketAddr,
    /// Read but not yet used.
    buffer: Vec<u8>,
}

/// An answer.
pub struct Answer {
    head: String,
    /// The body; empty after HEAD.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        Some(self.head.lines().find(named)?.split_once(':')?.1.trim())
    }
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, address, buffer: Vec::new() })
    }

    /// Sends a request and waits for its answer, which must say success.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        if !body.is_empty() {
            write!(head, "content-length: {}\r\n", body.len())?;
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        self.answer(method).with_context(|| format!("{method} {path}"))
    }

    fn answer(&mut self, method: &str) -> anyhow::Result<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let mut answer =
            Answer { head: String::from_utf8(head).context("the answer's head")?, body: Vec::new() };
        let length = match (method, answer.header("content-length")) {
            ("HEAD", _) => 0,
            (_, Some(length)) => length.parse().context("content-length")?,
            (_, None) => bail!("an answer without content-length"),
        };
        while self.buffer.len() < length {
            self.fill()?;
        }
        answer.body = self.buffer.drain(..length).collect();
        let status = answer.head.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "status {status}: {}", String::from_utf8_lossy(&answer.body));
        Ok(answer)
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let mut chunk = [0; 16 << 10];
        let read = self.stream.read(&mut chunk)?;
        ensure!(read > 0, "the service closed the connection");
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn answers_are_cut_at_their_length_and_failures_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let answers: [&[u8]; 3] = [
                b"HTTP/1.1 200 OK\r\nFreshet-Epoch: 7\r\ncontent-length: 3\r\n\r\nabc",
                b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno",
            ];
            for answer in answers {
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(answer).unwrap();
            }
        });
        let mut client = Client::connect(address).unwrap();
        let first = client.send("GET", "/", &[], b"").unwrap();
        assert_eq!((first.header("freshet-epoch"), &first.body[..]), (Some("7"), &b"abc"[..]));
        assert!(client.send("HEAD", "/", &[], b"").unwrap().body.is_empty());
        let failure = client.send("POST", "/", &[], b"x").err().unwrap();
        assert!(format!("{failure:#}").contains("400: no"), "{failure:#}");
        server.join().unwrap();
    }
}
