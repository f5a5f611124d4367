//! The thread that writes checkpoints: it encodes what the workers have taken, waits until the store is durable, publishes and
//! cleans up. A checkpoint that fails (a full disk) is told, and the job goes on to the next; only a newer run ends it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freshet_archive::Unfinished;
use freshet_operators::checkpoint::{Block, CONTENTS, Definition, Encoder, Taken, WriteFailed};
use freshet_schema::{Epoch, Generation, Millis};
use freshet_sources::epochs::Resume;
use xxhash_rust::xxh3::Xxh3;

use super::folder::crash_point;
use super::manifest::{Cut, FORMAT, File, checksum_text};
use super::{CheckpointError, Checkpoints, Manifest, Published, Status, blocks, decide};
use crate::meters;

/// A checkpoint was ordered.
#[derive(Debug)]
pub struct Begin {
    /// Where the input stands at its end.
    pub input: Resume,
    /// When it was ordered.
    pub at: Instant,
}

/// See the module.
pub struct Writer {
    /// Where they go.
    pub checkpoints: Checkpoints,
    /// The run.
    pub generation: Generation,
    /// The cuts as this release and configuration make them.
    pub definitions: Vec<Definition>,
    /// Workers of the graph, in all processes.
    pub workers: usize,
    /// Its processes. The others encode what theirs have taken.
    pub processes: usize,
    /// What the workers take.
    pub taken: Receiver<Taken>,
    /// Epochs up to which the store is durable, with its marker then; one for each order.
    pub durable: Receiver<(Epoch, Option<Epoch>)>,
    /// What is told.
    pub status: Arc<Status>,
}

impl Writer {
    /// Writes a checkpoint for each order, until there are no more.
    ///
    /// # Errors
    /// Where a newer run owns the job.
    pub fn run(self, orders: &Receiver<Begin>) -> Result<(), CheckpointError> {
        for Begin { input, at } in orders {
            let epoch = input.base.epoch;
            match self.write(input, at) {
                Ok((manifest, oldest)) => {
                    let published = Published::of(&manifest);
                    meters::Checkpoint(&published).emit();
                    tracing::info!(
                        epoch = epoch.0,
                        bytes = published.bytes,
                        took_ms = published.took_ms,
                        stood_us = published.stood_us,
                        "a checkpoint was made"
                    );
                    self.status.end(Ok((published, oldest.map(|manifest| manifest.input))));
                }
                Err(error) => {
                    meters::CheckpointFailed.emit();
                    self.status.end(Err(error.to_string()));
                    match error {
                        CheckpointError::Superseded { .. } => return Err(error),
                        CheckpointError::Abandoned => return Ok(()),
                        error => {
                            tracing::warn!(epoch = epoch.0, %error, "no checkpoint was made; the job goes on")
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&self, input: Resume, at: Instant) -> Result<(Manifest, Option<Manifest>), CheckpointError> {
        let epoch = input.base.epoch;
        let folder = decide::folder_name(self.generation, epoch);
        // What a failed attempt at this epoch left.
        let cleared = self.checkpoints.remove_folder(&folder);
        let mut files =
            Files { checkpoints: &self.checkpoints, folder: &folder, open: BTreeMap::new(), error: None };
        let stood_us = self.collect(epoch, &mut files)?;
        let (_, store_marker) = self.durable.recv().map_err(|_| CheckpointError::Abandoned)?;
        let written = cleared.and_then(|()| files.finish(&self.definitions)).and_then(|cuts| {
            self.checkpoints.sync_data(&folder)?;
            Ok(cuts)
        });
        let cuts = match written {
            Ok(cuts) => cuts,
            Err(error) => {
                // Nothing names them yet, and a full disk should not stay so because of them.
                let _ = self.checkpoints.remove_folder(&folder);
                return Err(error);
            }
        };
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let manifest = Manifest {
            format: FORMAT,
            freshet: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.generation,
            epoch,
            input,
            store_marker,
            made_at: Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
            workers: self.workers,
            took_ms: u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX),
            stood_us,
            folder,
            cuts,
        };
        self.checkpoints.publish(&manifest)?;
        let oldest = match self.checkpoints.clean(self.generation) {
            Ok(oldest) => oldest,
            Err(error) => {
                tracing::warn!(%error, "old checkpoints were not deleted; they are, with the next one");
                None
            }
        };
        Ok((manifest, oldest))
    }

    /// Takes in what all workers have of an epoch, whatever becomes of it; the longest time that one stood still.
    fn collect(&self, epoch: Epoch, files: &mut Files<'_>) -> Result<u64, CheckpointError> {
        let mut encoder = Encoder::of_process(0, self.processes);
        let mut stood = 0;
        let mut waiting = self.workers;
        while waiting > 0 {
            match self.taken.recv_timeout(Duration::from_secs(1)) {
                Ok(Taken::Cut(of, snapshot)) if of == epoch => {
                    files.begin(snapshot.cut);
                    // What failed is kept in `files` and told at the end.
                    let _ = encoder.encode(snapshot, &mut |block| files.write(&block));
                }
                Ok(Taken::Block(of, block)) if of == epoch => drop(files.write(&block)),
                Ok(Taken::Worker(of, _, us)) if of == epoch => {
                    waiting -= 1;
                    stood = stood.max(us);
                }
                // Of an order that was given up.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(CheckpointError::Abandoned),
            }
        }
        files.begin(CONTENTS);
        let _ = encoder.finish(&mut |block| files.write(&block));
        Ok(stood)
    }
}

/// The files of a checkpoint while they are written.
struct Files<'a> {
    checkpoints: &'a Checkpoints,
    folder: &'a str,
    open: BTreeMap<&'static str, Open<'a>>,
    error: Option<CheckpointError>,
}

#[derive(Default)]
struct Open<'a> {
    /// None as long as there are no rows.
    file: Option<Box<dyn Unfinished + 'a>>,
    rows: u64,
    row_bytes: u64,
    bytes: u64,
    hash: Xxh3,
}

impl Files<'_> {
    /// The cut is there, if only without rows.
    fn begin(&mut self, cut: &'static str) {
        self.open.entry(cut).or_default();
    }

    fn write(&mut self, block: &Block) -> Result<(), WriteFailed> {
        if self.error.is_none()
            && let Err(error) = self.append(block)
        {
            self.error = Some(error);
        }
        if self.error.is_some() { Err(WriteFailed) } else { Ok(()) }
    }

    fn append(&mut self, block: &Block) -> Result<(), CheckpointError> {
        let name = Checkpoints::data(self.folder, &file_name(block.cut));
        let checkpoints = self.checkpoints;
        let open = self.open.entry(block.cut).or_default();
        let frame = checkpoints.io("write", &name, blocks::frame(block))?;
        let head = if open.file.is_none() { blocks::head() } else { Vec::new() };
        let file = match &mut open.file {
            Some(file) => file,
            none => none.insert(checkpoints.io("write", &name, checkpoints.objects().begin(&name))?),
        };
        for bytes in [head, frame].iter().filter(|bytes| !bytes.is_empty()) {
            checkpoints.io("write", &name, file.write(bytes))?;
            open.hash.update(bytes);
            open.bytes += bytes.len() as u64;
        }
        open.rows += block.rows;
        open.row_bytes += block.bytes.len() as u64;
        Ok(())
    }

    /// Makes them durable and gives them their names.
    fn finish(self, definitions: &[Definition]) -> Result<BTreeMap<String, Cut>, CheckpointError> {
        let Self { checkpoints, folder, open, error } = self;
        if let Some(error) = error {
            return Err(error);
        }
        let mut cuts = BTreeMap::new();
        for (cut, open) in open {
            let definition = definitions.iter().find(|definition| definition.name == cut);
            let mut file = None;
            if let Some(unfinished) = open.file {
                let name = file_name(cut);
                let place = Checkpoints::data(folder, &name);
                checkpoints.io("write", &place, crash_point("before-file"))?;
                checkpoints.io("write", &place, unfinished.finish())?;
                file = Some(File { name, bytes: open.bytes, checksum: checksum_text(open.hash.digest()) });
            }
            cuts.insert(
                cut.to_owned(),
                Cut {
                    // Every cut of the graph is defined (tested).
                    codec: definition.map_or(0, |d| d.codec),
                    fingerprint: definition.map(|d| d.fingerprint.clone()).unwrap_or_default(),
                    rows: open.rows,
                    row_bytes: open.row_bytes,
                    file,
                },
            );
        }
        checkpoints.io("write", folder, crash_point("after-files"))?;
        Ok(cuts)
    }
}

fn file_name(cut: &str) -> String {
    format!("{cut}.blocks")
}
