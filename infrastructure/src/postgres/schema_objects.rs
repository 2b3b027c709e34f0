//! The check that the schema's objects are those that the migrations create.
//!
//! The owner of the database can add a trigger, a rule or a policy, replace a function, or drop the triggers that
//! protect the log. The expected objects are read from the text of the migrations, which is the same for every version
//! of PostgreSQL. Indexes without UNIQUE and other tables belong to the operator.

use std::collections::{BTreeMap, BTreeSet};

use super::pool::Pool;
use super::schema::MIGRATIONS;

/// The objects that exist, described in the same words as the expected ones.
const OBJECTS: &str = r"
    WITH ours AS (
        SELECT c.oid, c.relname::text AS name, c.relnamespace, c.relkind, c.relrowsecurity OR c.relforcerowsecurity AS hides
          FROM pg_class c
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY ($1)
    )
    SELECT 'table ' || name, '' FROM ours WHERE relkind = 'r'
    UNION ALL
    SELECT 'row security of ' || name, '' FROM ours WHERE hides
    UNION ALL
    SELECT format('rule %s on %s', r.rulename, o.name), '' FROM pg_rewrite r JOIN ours o ON o.oid = r.ev_class
    UNION ALL
    SELECT format('policy %s on %s', p.polname, o.name), '' FROM pg_policy p JOIN ours o ON o.oid = p.polrelid
    UNION ALL
    SELECT 'child table of ' || o.name, '' FROM pg_inherits i JOIN ours o ON o.oid = i.inhparent
    UNION ALL
    SELECT format('trigger %s on %s', t.tgname, o.name),
           format('%s %s %s', t.tgtype, p.proname, t.tgenabled)
           || CASE WHEN t.tgqual IS NULL THEN '' ELSE ' with a condition' END
           || CASE WHEN p.pronamespace = o.relnamespace THEN '' ELSE ' of another schema' END
      FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'unique constraints of ' || o.name, count(*)::text
      FROM pg_constraint c JOIN ours o ON o.oid = c.conrelid JOIN pg_index i ON i.indexrelid = c.conindid
     WHERE c.contype IN ('p', 'u') AND i.indisunique AND i.indisvalid
     GROUP BY o.name
    UNION ALL
    SELECT 'unique index ' || x.relname, ''
      FROM pg_index i JOIN ours o ON o.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
     WHERE x.relname = ANY ($2) AND i.indisunique AND i.indisvalid
    UNION ALL
    SELECT 'function ' || p.proname, p.prosrc
      FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = ANY ($3)";

/// The objects that the migrations create.
#[derive(Default)]
struct Expected {
    tables: BTreeMap<String, usize>,
    unique_indexes: BTreeSet<String>,
    functions: BTreeMap<String, String>,
    /// The table, the type and the function of each, and whether it always fires.
    triggers: BTreeMap<String, (String, u16, String, bool)>,
}

/// The objects that are missing, changed, or not created by this program.
pub(super) async fn faults(pool: &Pool) -> Result<Vec<String>, sqlx::Error> {
    let expected = Expected::of_migrations();
    let functions: Vec<String> = expected.functions.keys().cloned().collect();
    let tables: Vec<String> = expected.tables.keys().cloned().collect();
    let indexes: Vec<String> = expected.unique_indexes.iter().cloned().collect();
    let found: Vec<(String, String)> = sqlx::query_as(OBJECTS)
        .bind(tables)
        .bind(indexes)
        .bind(functions)
        .fetch_all(pool)
        .await?;
    let found: BTreeSet<_> = found.into_iter().collect();
    let expected = expected.objects();
    let is_known = |name: &str| expected.iter().any(|(known, _)| known == name);
    let missing = expected.difference(&found);
    let missing = missing.map(|(name, _)| format!("the {name} is missing or was changed"));
    let foreign = found.difference(&expected);
    // An object that was changed is reported already.
    let foreign = foreign.filter(|(name, _)| !is_known(name));
    let foreign = foreign.map(|(name, _)| format!("the {name} is not of this program"));
    Ok(missing.chain(foreign).collect())
}

impl Expected {
    fn of_migrations() -> Self {
        let mut expected = Self::default();
        for migration in MIGRATIONS.iter() {
            expected.apply(&migration.sql);
        }
        expected
    }

    fn apply(&mut self, sql: &str) {
        // Bodies of functions stand between `$$`.
        let mut pieces = sql.split("$$");
        while let Some(text) = pieces.next() {
            let body = pieces.next();
            let text: String = text
                .lines()
                .map(|line| line.split("--").next().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("\n");
            let mut statements: Vec<&str> = text.split(';').collect();
            if let Some(body) = body {
                let head = statements.pop().unwrap_or_default();
                self.function(head, body);
            }
            for statement in statements {
                self.statement(statement);
            }
        }
    }

    fn function(&mut self, head: &str, body: &str) {
        let words: Vec<&str> = head.split_whitespace().collect();
        let name = words.iter().skip_while(|word| **word != "FUNCTION").nth(1);
        if let Some(name) = name {
            let name = name.split('(').next().unwrap_or_default();
            self.functions.insert(name.to_owned(), body.to_owned());
        }
    }

    fn statement(&mut self, statement: &str) {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let name = |word: &str| word.split('(').next().unwrap_or_default().to_owned();
        match words.as_slice() {
            ["CREATE", "TABLE", table, ..] => {
                let unique = statement.matches("PRIMARY KEY").count()
                    + words.iter().filter(|word| is_unique(word)).count();
                self.tables.insert(name(table), unique);
            }
            ["DROP", "TABLE", table, ..] => {
                self.tables.remove(*table);
            }
            ["CREATE", "UNIQUE", "INDEX", index, ..] => {
                self.unique_indexes.insert(name(index));
            }
            ["DROP", "INDEX", index, ..] => {
                self.unique_indexes.remove(*index);
            }
            ["DROP", "FUNCTION", function, ..] => {
                self.functions.remove(&name(function));
            }
            ["CREATE", "TRIGGER", trigger, rest @ ..] => {
                let after = |word| rest.iter().skip_while(move |it| **it != word).nth(1);
                let (Some(table), Some(function)) = (after("ON"), after("FUNCTION")) else {
                    return;
                };
                let trigger_type = trigger_type(rest);
                let trigger = (*trigger).to_owned();
                let of = ((*table).to_owned(), trigger_type, name(function), false);
                self.triggers.insert(trigger, of);
            }
            ["DROP", "TRIGGER", trigger, ..] => {
                self.triggers.remove(*trigger);
            }
            ["ALTER", "TABLE", _, "ENABLE", "ALWAYS", "TRIGGER", trigger] => {
                if let Some((_, _, _, always)) = self.triggers.get_mut(*trigger) {
                    *always = true;
                }
            }
            _ => {}
        }
    }

    /// The objects, each with its name and its expected properties.
    fn objects(self) -> BTreeSet<(String, String)> {
        let mut objects = BTreeSet::new();
        for (table, unique) in self.tables {
            if unique > 0 {
                objects.insert((format!("unique constraints of {table}"), unique.to_string()));
            }
            objects.insert((format!("table {table}"), String::new()));
        }
        for index in self.unique_indexes {
            objects.insert((format!("unique index {index}"), String::new()));
        }
        for (function, body) in self.functions {
            objects.insert((format!("function {function}"), body));
        }
        for (trigger, (table, trigger_type, function, always)) in self.triggers {
            let fires = if always { 'A' } else { 'O' };
            objects.insert((
                format!("trigger {trigger} on {table}"),
                format!("{trigger_type} {function} {fires}"),
            ));
        }
        objects
    }
}

fn is_unique(word: &str) -> bool {
    word.trim_end_matches(',') == "UNIQUE"
}

/// The column `pg_trigger.tgtype` of a trigger, by the words of its definition.
fn trigger_type(words: &[&str]) -> u16 {
    let bits = [
        ("ROW", 1),
        ("BEFORE", 2),
        ("INSERT", 4),
        ("DELETE", 8),
        ("UPDATE", 16),
        ("TRUNCATE", 32),
    ];
    let has = |word: &str| words.contains(&word);
    bits.iter()
        .filter(|(word, _)| has(word))
        .map(|(_, bit)| bit)
        .sum()
}
