//! The tables and views in words: for the prompt, and for docs/sql.md.

use std::fmt::Write;

use arrow::datatypes::{DataType, Schema};
use freshet_archive::Table;

use super::{SCHEMA, columns, coverage, views};

/// A table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name, with the schema where it is not the default one.
    pub name: String,
    /// What a row is.
    pub about: String,
    /// The column whose values are looked up.
    pub key: Option<String>,
    /// Its columns.
    pub columns: Vec<DescribedColumn>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// What it means.
    pub about: String,
    /// Whether it may be null; of views the words say it.
    pub nullable: bool,
}

/// All tables and views of the schema.
#[must_use]
pub fn all() -> Vec<Described> {
    let column = |name: &str, about: &str, nullable| DescribedColumn {
        name: name.to_owned(),
        about: about.to_owned(),
        nullable,
    };
    let described = |name: &str, about: &str, columns| Described {
        name: format!("{SCHEMA}.{name}"),
        about: about.to_owned(),
        key: None,
        columns,
    };
    let of_words =
        |columns: &[(&str, &str)]| columns.iter().map(|(name, about)| column(name, about, false)).collect();
    let tables = Table::ALL.into_iter().map(|table| {
        let nullable = columns::nullable(table);
        let columns = columns::columns(table).iter().zip(nullable);
        let columns = columns.map(|(known, nullable)| column(known.name, known.about, nullable)).collect();
        described(table.folder(), columns::about(table), columns)
    });
    let coverage = described(coverage::NAME, coverage::ABOUT, of_words(&coverage::COLUMNS));
    let views = views::VIEWS.iter().map(|view| described(view.name, view.about, of_words(view.columns)));
    tables.chain([coverage]).chain(views).collect()
}

/// A type as Postgres would name it.
#[must_use]
pub fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::UInt64 => "unsigned bigint".to_owned(),
        DataType::UInt32 => "unsigned integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Utf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::List(item) => format!("{}[]", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let field = |field: &arrow::datatypes::FieldRef| {
                format!("{} {}", field.name(), type_name(field.data_type()))
            };
            format!("row({})", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// All of it in Markdown, as docs/sql.md has it. `schema` gives the schema of a table or view by its name.
///
/// # Errors
/// Where a view has other columns than are described.
pub fn markdown(schema: impl Fn(&str) -> Option<Schema>) -> Result<String, String> {
    let mut text = String::new();
    for table in all() {
        let schema = schema(&table.name).ok_or_else(|| format!("there is no {}", table.name))?;
        let named: Vec<&String> = table.columns.iter().map(|column| &column.name).collect();
        let there: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        if named != there {
            return Err(format!("{}: {named:?} are described, and {there:?} are there", table.name));
        }
        // Writing to a text cannot fail.
        let _ = write!(text, "### {}\n\n{}\n\n| column | type | |\n|---|---|---|\n", table.name, table.about);
        for (column, field) in table.columns.iter().zip(schema.fields()) {
            let null = if column.nullable { ", may be null" } else { "" };
            let kind = type_name(field.data_type());
            let _ = writeln!(text, "| `{}` | {kind}{null} | {} |", column.name, column.about);
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;
    use crate::history::{Archive, register};

    const BEGIN: &str = "what it comes to.\n\n";

    /// The document ends with what stands here. `UPDATE_GOLDEN=1` writes it anew.
    #[tokio::test]
    async fn the_document_has_every_column() {
        let config = SessionConfig::new().with_default_catalog_and_schema("freshet", "public");
        let context = SessionContext::new_with_config(config);
        let catalog = context.catalog("freshet").expect("the default one");
        let archive = Arc::new(Archive::new(None).expect("none"));
        register(&context, &catalog, &archive).await.expect("no name is taken");
        let mut schemas = std::collections::BTreeMap::new();
        for table in all() {
            let provider = context.table_provider(table.name.as_str()).await.expect("registered");
            schemas.insert(table.name, provider.schema().as_ref().clone());
        }
        let text = markdown(|name| schemas.get(name).cloned()).unwrap_or_else(|what| panic!("{what}"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
        let document = std::fs::read_to_string(&path).expect("docs/sql.md");
        let (before, after) = document.split_once(BEGIN).expect("the chapter of history tables");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{}\n", text.trim_end())).expect("written");
            return;
        }
        assert!(
            after.trim_end() == text.trim_end(),
            "docs/sql.md is behind: UPDATE_GOLDEN=1 writes it anew\n{text}"
        );
    }
}
