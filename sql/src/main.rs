//! `freshet-sql`: see the library.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use freshet_archive::Folder;
use freshet_schema::sockets;
use freshet_schema::tables::{ColumnInfo, TableInfo};
use freshet_sql::history::Archive;
use freshet_sql::history::describe::{self, Described, DescribedColumn};
use freshet_sql::offline::Offline;
use freshet_sql::output::{self, Format};
use freshet_sql::query;
use freshet_sql::repl::Prompt;
use freshet_sql::service::Service;
use freshet_sql::session::{self, Resources};
use freshet_sql::wire;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ask the pipeline in SQL: what it knows now, all of it at one epoch, and what happened before (the schema `history`).
///
/// Without -c or --listen-pg statements are read from the terminal or standard input. Nothing can be written.
#[derive(Debug, Parser)]
#[command(name = "freshet-sql", version, max_term_width = 100)]
#[command(after_long_help = "\
Examples:
  freshet-sql --store data/store
  freshet-sql --store data/store -c 'select * from freshness'
  freshet-sql --store data/store -c 'select * from history.daily_users order by day'
  freshet-sql --store data/store --format csv -c 'select * from video_stats' > stats.csv
  freshet-sql --store data/store --listen-pg 127.0.0.1:5433
  freshet-sql --offline --store data/store -c 'select count(*) from users'

Exit codes: 0 done, 1 failed, 2 a mistake in the arguments.")]
struct Cli {
    /// The folder of the service (store.dir)
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The configuration that the service was started with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The archive that the schema `history` is read from, a folder or s3://BUCKET/PREFIX; without it, the one that the service
    /// writes (archive.dir)
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Read the newest checkpoint of a stopped service
    #[arg(long)]
    offline: bool,
    /// The folder of the checkpoints, with --offline
    #[arg(long, value_name = "DIR", requires = "offline")]
    checkpoints: Option<PathBuf>,
    /// Run this and end; may be given several times
    #[arg(short, long = "command", value_name = "SQL")]
    command: Vec<String>,
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write results to this file instead of standard output
    #[arg(long, value_name = "FILE", requires = "command")]
    out: Option<PathBuf>,
    /// Answer Postgres clients at this address
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "command")]
    listen_pg: Option<SocketAddr>,
    /// The name that Postgres clients log in with
    #[arg(long, value_name = "NAME", default_value = "freshet")]
    user: String,
    /// The environment variable with the password of Postgres clients
    #[arg(long, value_name = "NAME", default_value = "FRESHET_SQL_PASSWORD")]
    password_env: String,
    /// A query is ended after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    timeout: f64,
    /// Threads of the query engine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Memory of the query engine, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory: usize,
}

/// Where a service keeps its store without being told.
const STORE: &str = "data/store";

impl Cli {
    fn store_dir(&self) -> anyhow::Result<PathBuf> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let Some(file) = &self.config else { return Ok(STORE.into()) };
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let config: toml::Table = toml::from_str(&text).with_context(|| file.display().to_string())?;
        let dir = config.get("store").and_then(|store| store.get("dir"));
        Ok(dir.and_then(|dir| dir.as_str()).map_or_else(|| STORE.into(), PathBuf::from))
    }

    /// The service to ask, and the child that it is where there is one.
    fn service(&self) -> anyhow::Result<(Service, Option<Offline>)> {
        if self.offline {
            let all =
                [("--config", &self.config), ("--store", &self.store), ("--checkpoints", &self.checkpoints)];
            let given: Vec<(&str, &Path)> =
                all.iter().filter_map(|(flag, path)| Some((*flag, path.as_deref()?))).collect();
            let child = Offline::start(&given)?;
            return Ok((child.service(), Some(child)));
        }
        let dir = self.store_dir()?;
        let socket = sockets::socket(&dir, sockets::TABLES).with_context(|| {
            format!(
                "{:?}: there is no such folder; name the service's with --store or --config",
                dir.display().to_string()
            )
        })?;
        Ok((Service::new(&socket), None))
    }

    /// The archive that is named, or the one that the service writes.
    async fn history(&self, service: &Service) -> anyhow::Result<Archive> {
        let place = match &self.archive {
            Some(dir) if Folder::open(dir)?.manifest()?.is_none() => {
                bail!("--archive {}: no archive is there (no manifest)", dir.display())
            }
            Some(dir) => Some(dir.to_string_lossy().into_owned()),
            None => service.archive().await?,
        };
        Archive::new(place.as_deref())
    }

    fn run(self) -> anyhow::Result<bool> {
        if !self.timeout.is_finite() || self.timeout <= 0.0 {
            bail!("--timeout {}: a number of seconds above 0", self.timeout);
        }
        // The pipeline goes first.
        rustix::process::nice(10).context("niceness")?;
        let timeout = Duration::from_secs_f64(self.timeout);
        let resources = Resources { threads: self.threads.into(), memory: self.memory << 20, timeout };
        let (service, child) = self.service()?;
        let mut builder = match self.threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime =
            builder.worker_threads(self.threads.into()).enable_all().build().context("the async runtime")?;
        allow_files();
        let context = runtime.block_on(async {
            let archive = Arc::new(self.history(&service).await?);
            session::open(&service, &archive, resources).await
        })?;
        let live = runtime.block_on(service.tables())?.into_iter().map(described);
        let tables: Vec<Described> = live.chain(describe::all()).collect();
        if let Some(address) = self.listen_pg {
            let login = wire::Login { user: self.user, password: std::env::var(&self.password_env).ok() };
            runtime.block_on(wire::serve(context, &tables, address, login, &self.password_env))?;
            return Ok(true);
        }
        if self.command.is_empty() {
            if self.format == Format::Parquet {
                bail!("--format parquet: name the query with -c");
            }
            let (tables, format) = (&tables, self.format);
            return Prompt { context: &context, runtime: &runtime, tables, format }.run();
        }
        // A mistake in the last query must not empty the file of the first.
        let queries = runtime.block_on(async {
            let mut queries = Vec::new();
            for sql in &self.command {
                queries.extend(output::plan(&context, sql).await?);
            }
            anyhow::Ok(queries)
        })?;
        if self.format == Format::Parquet && queries.len() != 1 {
            bail!("--format parquet: a file holds the rows of one query, and there are {}", queries.len());
        }
        let mut out: Box<dyn Write + Send> = match &self.out {
            Some(path) => {
                let file = File::create(path).with_context(|| path.display().to_string())?;
                Box::new(BufWriter::new(file))
            }
            None if self.format == Format::Parquet && stdout().is_terminal() => {
                bail!("--format parquet: name a file with --out, or send standard output to one")
            }
            None => Box::new(BufWriter::new(stdout())),
        };
        let all = async {
            for query in queries {
                output::run(query, self.format, &mut *out).await?;
            }
            anyhow::Ok(())
        };
        runtime.block_on(async {
            tokio::select! {
                ended = all => ended,
                _ = tokio::signal::ctrl_c() => bail!("cancelled"),
            }
        })?;
        drop(child);
        Ok(true)
    }
}

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // `freshet-sql -c ... | head` is no failure.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", query::words(&error));
            ExitCode::FAILURE
        }
    }
}

/// A live table for the prompt.
fn described(table: TableInfo) -> Described {
    let column = |column: ColumnInfo| DescribedColumn {
        name: column.name,
        about: column.about,
        nullable: column.nullable,
    };
    let columns = table.columns.into_iter().map(column).collect();
    Described { name: table.name, about: table.about, key: table.key, columns }
}

/// A query over years opens thousands of files; systems allow that, and give a process few to begin with.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, a query over too many files says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    let is = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(is)
            || matches!(
                cause.downcast_ref::<arrow::error::ArrowError>(),
                Some(arrow::error::ArrowError::IoError(_, cause)) if is(cause)
            )
    })
}
