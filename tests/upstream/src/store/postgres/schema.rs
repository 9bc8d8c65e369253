//! Tables of the database: made once, checked at every start; a new partition of events each month.
//! Never uses a database that may forget what it has committed.

use super::links::Link;
use crate::store::StoreError;

/// What makes each version of the schema out of the one before.
const MIGRATIONS: [&str; 3] =
    [include_str!("001_chains.sql"), include_str!("002_handovers.sql"), include_str!("003_granted.sql")];
/// Key of the advisory lock under which processes change tables: one after the other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7665020)";

pub(super) fn prepare(link: &mut Link) -> Result<(), StoreError> {
    check_setting(link, "fsync", "SELECT current_setting('fsync')")?;
    check_setting(link, "full_page_writes", "SELECT current_setting('full_page_writes')")?;
    check_setting(link, "synchronous_commit", "SELECT current_setting('synchronous_commit')")?;
    link.batch(&format!(
        "BEGIN; {LOCK}; CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"
    ))?;
    let version = link.maybe("SELECT version FROM schema_version", &[])?;
    let version: i32 = version.map_or(Ok(0), |row| row.try_get(0))?;
    let made = usize::try_from(version).ok().filter(|made| *made <= MIGRATIONS.len());
    let made = made.ok_or(StoreError::Foreign { found: version })?;
    for migration in &MIGRATIONS[made..] {
        link.batch(migration)?;
    }
    let version = MIGRATIONS.len();
    link.batch(&format!("DELETE FROM schema_version; INSERT INTO schema_version VALUES ({version}); COMMIT"))
}

/// Makes the partition of a month (`202611`), if no process has done so yet.
pub(super) fn add_month(link: &mut Link, month: i32) -> Result<(), StoreError> {
    link.batch(&format!(
        "BEGIN; {LOCK};
         CREATE TABLE IF NOT EXISTS event_{month} PARTITION OF event FOR VALUES IN ({month});
         COMMIT"
    ))
}

fn check_setting(link: &mut Link, name: &'static str, query: &'static str) -> Result<(), StoreError> {
    let found: String = link.one(query, &[])?.try_get(0)?;
    if found == "on" { Ok(()) } else { Err(StoreError::Setting { name, found, expected: "on" }) }
}
