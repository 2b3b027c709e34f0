//! SQL that follows from the list of a table's columns.
//!
//! A table has one macro per store that holds its columns in the form `table alias: key, column, …` and hands them to one
//! of these macros.

/// The columns: `key, column, …`.
macro_rules! column_list {
    ($table:ident $alias:ident: $key:ident $(, $column:ident)+) => {
        concat!(stringify!($key) $(, ", ", stringify!($column))+)
    };
}

/// The columns of the aliased table: `alias.key, alias.column, …`.
macro_rules! aliased_columns {
    ($table:ident $alias:ident: $key:ident $(, $column:ident)+) => {
        concat!(
            stringify!($alias), ".", stringify!($key)
            $(, ", ", stringify!($alias), ".", stringify!($column))+
        )
    };
}

/// The conflict clause of an upsert. An existing row is overwritten unless it is of a later version. A row of the same
/// version is the same row unless it was damaged, so that writing it again lets a rebuild repair it.
macro_rules! update_on_conflict {
    ($table:ident $alias:ident: $key:ident, $first:ident $(, $column:ident)*) => {
        concat!(
            " ON CONFLICT (", stringify!($key), ") DO UPDATE SET ",
            stringify!($first), " = excluded.", stringify!($first)
            $(, ", ", stringify!($column), " = excluded.", stringify!($column))*,
            " WHERE ", stringify!($table), ".version <= excluded.version"
        )
    };
}

pub(crate) use {aliased_columns, column_list, update_on_conflict};
