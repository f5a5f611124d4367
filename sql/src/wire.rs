//! The Postgres wire, for psql, drivers and BI tools.
//!
//! Clients log in with a name and a password (SCRAM-SHA-256, so that the password does not travel). The connection is not encrypted:
//! by itself it belongs on the loopback address. Catalogue queries are answered by `datafusion-postgres`, and by
//! [`crate::postgres`] what it lacks.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::auth::AuthManager;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::auth::sasl::SASLAuthStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::{
    SCRAM_ITERATIONS, ScramAuth, gen_salted_password, random_nonce,
};
use datafusion_postgres::pgwire::api::auth::{
    AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler,
};
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionManager, PgWireServerHandlers};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::tokio::process_socket;
use datafusion_postgres::{DfSessionService, QueryHook};
use tokio::net::TcpListener;

use crate::history::describe::Described;
use crate::postgres;
use crate::read_only;
use crate::session::CATALOG;

/// What clients log in with.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Option<String>,
}

/// Answers clients until Ctrl-C or a termination signal. Says the address on standard output when it listens.
///
/// # Errors
/// Where there is no password, or the address cannot be had.
pub async fn serve(
    context: SessionContext,
    tables: &[Described],
    address: SocketAddr,
    login: Login,
    password_env: &str,
) -> anyhow::Result<()> {
    let Some(password) = login.password.filter(|password| !password.is_empty()) else {
        bail!(
            "--listen-pg {address}: put a password for clients into the environment variable {password_env}"
        );
    };
    if !address.ip().is_loopback() {
        eprintln!("note: {address} is not a loopback address, and what travels there is not encrypted");
    }
    setup_pg_catalog(&context, CATALOG, Arc::new(AuthManager::default()))
        .map_err(|error| anyhow!("the catalogue tables: {error}"))?;
    postgres::register(&context, tables).await?;
    let salt = random_nonce().into_bytes();
    let salted = gen_salted_password(&password, &salt, SCRAM_ITERATIONS);
    let connections = Arc::new(ConnectionManager::new());
    let hooks: Vec<Arc<dyn QueryHook>> = vec![
        Arc::new(ReadOnly),
        Arc::new(CursorStatementHook),
        Arc::new(SetShowHook),
        Arc::new(TransactionStatementHook),
    ];
    let handlers = Arc::new(Handlers {
        session: Arc::new(DfSessionService::new_with_hooks(Arc::new(context), hooks)),
        passwords: Arc::new(Passwords { user: login.user, salt, salted }),
        cancel: Arc::new(DefaultCancelHandler::new(Arc::clone(&connections))),
        connections,
    });
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("--listen-pg {address}: choose another address"))?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    println!("listening for Postgres clients on {}", listener.local_addr()?);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, from)) => {
                    let handlers = Arc::clone(&handlers);
                    drop(tokio::spawn(async move {
                        if let Err(error) = process_socket(socket, None, handlers).await {
                            eprintln!("the connection from {from} ended: {error}");
                        }
                    }));
                }
                // Too many open files, for one: they may be fewer soon.
                Err(error) => {
                    eprintln!("a connection could not be accepted: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        }
    }
}

/// The one name and its password, salted.
#[derive(Debug)]
struct Passwords {
    user: String,
    salt: Vec<u8>,
    salted: Vec<u8>,
}

#[async_trait]
impl AuthSource for Passwords {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        match login.user() {
            Some(user) if user == self.user => {
                Ok(Password::new(Some(self.salt.clone()), self.salted.clone()))
            }
            other => Err(PgWireError::InvalidPassword(other.unwrap_or_default().to_owned())),
        }
    }
}

struct Handlers {
    session: Arc<DfSessionService>,
    passwords: Arc<Passwords>,
    cancel: Arc<DefaultCancelHandler>,
    connections: Arc<ConnectionManager>,
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.session)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.session)
    }

    /// Asked for once a connection: what it keeps is that connection's.
    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        let scram = ScramAuth::new(Arc::clone(&self.passwords) as Arc<dyn AuthSource>);
        let startup = SASLAuthStartupHandler::new(Arc::new(DefaultServerParameterProvider::default()));
        Arc::new(startup.with_scram(scram).with_connection_manager(Arc::clone(&self.connections)))
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::clone(&self.cancel)
    }
}

/// Refuses what is more than a query, before anything else looks at it.
struct ReadOnly;

fn refused(why: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), "25006".to_owned(), why.into())))
}

/// Whether a statement may go on.
async fn allowed(statement: &Statement, context: &SessionContext) -> PgWireResult<()> {
    match statement {
        // A query can hide a write: `WITH ... INSERT`, `SELECT ... INTO`. Its plan cannot.
        Statement::Query(_) | Statement::Explain { .. } => {
            let planned =
                context.state().statement_to_plan(DfStatement::Statement(Box::new(statement.clone()))).await;
            match planned {
                Ok(plan) => read_only::check(&plan).map_err(|error| refused(error.message().into_owned())),
                // What is wrong with it is said where it is run.
                Err(_) => Ok(()),
            }
        }
        Statement::Declare { stmts } => {
            for query in stmts.iter().filter_map(|declared| declared.for_query.as_ref()) {
                Box::pin(allowed(&Statement::Query(query.clone()), context)).await?;
            }
            Ok(())
        }
        Statement::Set(_)
        | Statement::ShowVariable { .. }
        | Statement::ShowStatus { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Fetch { .. }
        | Statement::Close { .. }
        | Statement::Discard { .. }
        | Statement::Deallocate { .. } => Ok(()),
        _ => Err(refused(
            "only queries are answered (SELECT, EXPLAIN, SHOW): nothing can be written or defined",
        )),
    }
}

#[async_trait]
impl QueryHook for ReadOnly {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        context: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        allowed(statement, context).await.err().map(Err)
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        context: &SessionContext,
        _client: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        allowed(statement, context).await.err().map(Err)
    }

    async fn handle_extended_query(
        &self,
        _statement: &Statement,
        _plan: &LogicalPlan,
        _parameters: &ParamValues,
        _context: &SessionContext,
        _client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        None
    }
}
