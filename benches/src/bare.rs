//! A server that does only what every HTTP/1.1 server has to: a blocking thread a connection, one read and one write a request.
//!
//! What it takes is the kernel's part of a request's cost, before the first line of ours: two system calls, the TCP stack
//! and the wake-ups. On the loopback that holds the reader's side as well, because a send there runs the receiving half
//! of the stack and wakes the thread that waits for it. How much it is differs severalfold between machines; a figure for
//! the feed server says something only beside it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::Context;

use crate::process;

/// The name of its threads.
const NAME: &str = "bare-server";

/// Starts one on a free port, for the rest of this process; every request is answered with a body of `length` bytes.
pub fn start(length: usize) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the bare server's port")?;
    let address = listener.local_addr()?;
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'.');
    named(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // Without a thread the connection is closed, and its reader says so.
            drop(named(move || drop(serve(stream, &answer))));
        }
    })?;
    Ok(address)
}

/// CPU seconds so far of its threads.
pub fn cpu() -> anyhow::Result<f64> {
    process::threads_cpu(std::process::id(), NAME)
}

fn named(work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new().name(NAME.to_owned()).spawn(work).context("a thread")?;
    Ok(())
}

/// Answers until the reader goes. A request is short and comes in one piece.
fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; 4096];
    while stream.read(&mut request)? > 0 {
        stream.write_all(answer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Client;

    #[test]
    fn it_answers_and_its_cpu_is_seen() {
        let address = start(5_000).unwrap();
        let mut client = Client::connect(address).unwrap();
        let before = cpu().unwrap();
        for _ in 0..200 {
            assert_eq!(client.send("GET", "/", &[], b"").unwrap().body.len(), 5_000);
        }
        assert!(cpu().unwrap() > before);
    }
}
