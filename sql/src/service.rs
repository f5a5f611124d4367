//! The other end of the service's socket for tables.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use freshet_schema::tables::{
    Answer, FRAME_ARROW, FRAME_END, FRAME_ERROR, Payload, Request, SnapshotInfo, SnapshotRequest, TableInfo,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Where the service answers.
#[derive(Clone, Debug)]
pub struct Service {
    socket: PathBuf,
}

/// A connection.
type Connection = BufReader<UnixStream>;

impl Service {
    /// The service behind this socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        match UnixStream::connect(&self.socket).await {
            Ok(stream) => Ok(BufReader::new(stream)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                bail!(
                    "no service answers at {}: start `freshet run`, name its folder with --store or --config, or read a \
                 stopped one with --offline",
                    self.socket.display()
                )
            }
            Err(error) => Err(error).with_context(|| {
                format!("{}: run the command as the user that runs the service", self.socket.display())
            }),
        }
    }

    async fn ask(&self, connection: &mut Connection, request: &Request) -> anyhow::Result<Payload> {
        let away = || anyhow!("the service at {} went away: it may be stopping", self.socket.display());
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        connection.get_mut().write_all(&line).await.map_err(|_| away())?;
        let mut answer = Vec::new();
        connection.read_until(b'\n', &mut answer).await.map_err(|_| away())?;
        if answer.is_empty() {
            return Err(away());
        }
        match serde_json::from_slice(&answer).context("the service's answer: is it of another release?")? {
            Answer::Ok(payload) => Ok(payload),
            Answer::Error(message) => bail!(message),
        }
    }

    /// The tables that there are.
    ///
    /// # Errors
    /// Where nobody answers.
    pub async fn tables(&self) -> anyhow::Result<Vec<TableInfo>> {
        match self.ask(&mut self.connect().await?, &Request::Tables).await? {
            Payload::Tables(tables) => Ok(tables),
            other => bail!("the service answered {other:?} where tables were asked for"),
        }
    }

    /// Where the archive is that it writes, if it does.
    ///
    /// # Errors
    /// Where nobody answers.
    pub async fn archive(&self) -> anyhow::Result<Option<String>> {
        match self.ask(&mut self.connect().await?, &Request::Archive).await? {
            Payload::Archive(place) => Ok(place),
            other => bail!("the service answered {other:?} where its archive was asked for"),
        }
    }

    /// Fixes an epoch, and what is to be read of it.
    ///
    /// # Errors
    /// Where nobody answers, or the service cannot give it.
    pub async fn snapshot(&self, request: SnapshotRequest) -> anyhow::Result<Snapshot> {
        let mut connection = self.connect().await?;
        match self.ask(&mut connection, &Request::Snapshot(request)).await? {
            Payload::Snapshot(info) => Ok(Snapshot { info, service: self.clone(), _holds: connection }),
            other => bail!("the service answered {other:?} where a snapshot was asked for"),
        }
    }
}

/// A snapshot, held by the service for as long as this lives.
#[derive(Debug)]
pub struct Snapshot {
    /// Its epoch and clock.
    pub info: SnapshotInfo,
    service: Service,
    _holds: Connection,
}

impl Snapshot {
    /// Begins to read a scan. Each can be read once.
    ///
    /// # Errors
    /// Where nobody answers.
    pub async fn scan(&self, scan: usize) -> anyhow::Result<Rows> {
        let mut connection = self.service.connect().await?;
        match self.service.ask(&mut connection, &Request::Scan { id: self.info.id, scan }).await? {
            Payload::Rows => Ok(Rows {
                connection,
                decoder: StreamDecoder::new(),
                rest: Buffer::from(Vec::<u8>::new()),
                ended: false,
            }),
            other => bail!("the service answered {other:?} where rows were asked for"),
        }
    }
}

/// The rows of a scan, as they come.
#[derive(Debug)]
pub struct Rows {
    connection: Connection,
    decoder: StreamDecoder,
    rest: Buffer,
    ended: bool,
}

impl Rows {
    /// The next rows; `None` behind the last ones.
    ///
    /// # Errors
    /// Where the service ends the snapshot or goes away.
    pub async fn next(&mut self) -> anyhow::Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.decoder.decode(&mut self.rest)? {
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok(None);
            }
            let (kind, bytes) = self.frame().await.context(
                "the service went away in the middle of a table, or let go of the snapshot (sql.timeout)",
            )?;
            match kind {
                FRAME_ARROW => self.rest = Buffer::from(bytes),
                FRAME_END => {
                    self.decoder.finish()?;
                    self.ended = true;
                }
                FRAME_ERROR => bail!("{}", String::from_utf8_lossy(&bytes)),
                other => {
                    bail!("the service sent a frame of the unknown kind {other}: is it of another release?")
                }
            }
        }
    }

    async fn frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let kind = self.connection.read_u8().await?;
        let length = self.connection.read_u32_le().await?;
        let mut bytes = vec![0; length as usize];
        self.connection.read_exact(&mut bytes).await?;
        Ok((kind, bytes))
    }
}
