//! Functions that Postgres clients call when they look at the catalogue, and that `datafusion-postgres` has not.
//!
//! SQLAlchemy reads a number out of `version()`; psql, BI tools and drivers ask for descriptions, of which the tables here have many.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, AsArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;

use crate::history::describe::Described;

/// The release of Postgres whose catalogue is imitated, as the connection says it, too.
const VERSION: &str = concat!("PostgreSQL 16.6 (Freshet ", env!("CARGO_PKG_VERSION"), ", DataFusion)");

/// Descriptions by the table's number and the column's place from 1; 0 is the table itself. Never gone through.
type Descriptions = Arc<HashMap<(i64, i64), String>>;

/// What a function says.
#[derive(Clone, Debug)]
enum Says {
    /// The same whatever it is asked.
    Always(ScalarValue),
    /// The description of the first argument's table, and of the column that the second one counts.
    Column(Descriptions),
    /// The description of the first argument's table.
    Table(Descriptions),
}

#[derive(Debug)]
struct Function {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    says: Says,
}

// Known by its name: there is one of each.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match &self.says {
            Says::Always(value) => value.data_type(),
            Says::Column(_) | Says::Table(_) => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (descriptions, of_column) = match &self.says {
            Says::Always(value) => return Ok(ColumnarValue::Scalar(value.clone())),
            Says::Column(descriptions) => (descriptions, true),
            Says::Table(descriptions) => (descriptions, false),
        };
        let numbers = |place: usize| -> Result<Option<Int64Array>> {
            let Some(argument) = arguments.args.get(place) else { return Ok(None) };
            let array = argument.to_array(arguments.number_rows)?;
            Ok(Some(cast(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
        };
        let tables = numbers(0)?;
        let columns = if of_column { numbers(1)? } else { None };
        let at = |numbers: &Option<Int64Array>, row: usize| {
            numbers.as_ref().filter(|numbers| numbers.is_valid(row)).map(|numbers| numbers.value(row))
        };
        let row = |row| {
            let column = if of_column { at(&columns, row)? } else { 0 };
            descriptions.get(&(at(&tables, row)?, column)).map(String::as_str)
        };
        let said: StringArray = (0..arguments.number_rows).map(row).collect();
        Ok(ColumnarValue::Array(Arc::new(said)))
    }
}

fn function(name: &'static str, arguments: &[usize], says: Says) -> ScalarUDF {
    let counts = arguments.iter().map(|count| match count {
        0 => TypeSignature::Nullary,
        count => TypeSignature::Any(*count),
    });
    ScalarUDF::from(Function {
        name,
        aliases: vec![format!("pg_catalog.{name}")],
        signature: Signature::one_of(counts.collect(), Volatility::Stable),
        says,
    })
}

/// Registers the functions. The catalogue's tables must be there.
///
/// # Errors
/// Where the catalogue cannot be read.
pub async fn register(context: &SessionContext, tables: &[Described]) -> anyhow::Result<()> {
    let descriptions = Arc::new(descriptions(context, tables).await.context("the catalogue tables")?);
    let nothing = || Says::Always(ScalarValue::Utf8(None));
    let version = Says::Always(ScalarValue::Utf8(Some(VERSION.to_owned())));
    for function in [
        function("version", &[0], version),
        function("col_description", &[2], Says::Column(Arc::clone(&descriptions))),
        function("obj_description", &[1, 2], Says::Table(descriptions)),
        function("pg_type_is_visible", &[1], Says::Always(ScalarValue::Boolean(Some(true)))),
        // Views are defined in no language that a client could send back, and no column counts by itself.
        function("pg_get_viewdef", &[1, 2], nothing()),
        function("pg_get_serial_sequence", &[2], nothing()),
    ] {
        context.register_udf(function);
    }
    Ok(())
}

async fn descriptions(
    context: &SessionContext,
    tables: &[Described],
) -> anyhow::Result<HashMap<(i64, i64), String>> {
    let numbers = "select cast(c.oid as bigint) as number, n.nspname || '.' || c.relname as name from pg_catalog.pg_class c \
                   join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'history')";
    let mut descriptions = HashMap::new();
    for batch in context.sql(numbers).await?.collect().await? {
        let names = cast(batch.column(1), &DataType::Utf8)?;
        let (numbers, names) = (batch.column(0).as_primitive::<Int64Type>(), names.as_string::<i32>());
        for (number, name) in numbers.values().iter().zip(names.iter()) {
            let name = name.unwrap_or_default();
            let name = name.strip_prefix("public.").unwrap_or(name);
            let Some(table) = tables.iter().find(|table| table.name == name) else { continue };
            descriptions.insert((*number, 0), table.about.clone());
            for (place, column) in (1..).zip(&table.columns) {
                descriptions.insert((*number, place), column.about.clone());
            }
        }
    }
    Ok(descriptions)
}
