//! What the database itself refuses, whoever asks.

use super::*;

#[test]
fn triggers_refuse_every_change_of_what_is_written() {
    let (dir, _) = filled(3, 2);
    let path = dir.path().join(database::FILE);
    let connection = rusqlite::Connection::open(path).unwrap();
    let check = |sql: &str, refusal: &str| {
        let error = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains(refusal), "{sql}: {error}");
    };
    check("UPDATE event SET leaf = zeroblob(32) WHERE seq = 1", "never changed");
    check("UPDATE event SET body = NULL", "never changed");
    check("UPDATE OR REPLACE event SET seq = 0 WHERE seq = 1", "never changed");
    check("DELETE FROM event WHERE seq = 2", "never deleted");
    let insert = |seq: i64| format!("INSERT INTO event VALUES(1, {seq}, zeroblob(32), x'00', 0)");
    check(&insert(4), "end of its chain");
    check(&insert(2), "end of its chain");
    check(&insert(1).replace("INSERT", "INSERT OR REPLACE"), "end of its chain");
    check(&insert(0).replace("VALUES(1", "VALUES(2"), "end of its chain");
    check(&insert(3).replace("x'00'", "NULL"), "end of its chain");
    check("UPDATE chain SET size = 9", "number of events");
    check("UPDATE chain SET acked = 3", "only a receipt");
    check("UPDATE chain SET acked = 1", "only a receipt");
    check("UPDATE chain SET grant_jws = ''", "keeps its identity");
    check("DELETE FROM chain", "never deleted");
    let chain = "INTO chain SELECT 1, uuid, '', key_check, 0, frontier, 0, frontier FROM chain";
    check(&format!("INSERT OR REPLACE {chain}"), "after all others");
    check("INSERT INTO receipt VALUES(1, 2, '', 0, NULL)", "newer than the last");
    check("INSERT INTO receipt VALUES(1, 4, '', 0, NULL)", "newer than the last");
    check("UPDATE receipt SET note = ''", "never changed");
    check("DELETE FROM receipt", "never deleted");
    check("INSERT INTO erasure VALUES(1, 3, 0)", "only receipted");
    connection.execute_batch("INSERT INTO hold VALUES(1, 1, 1, 1, 'inspection', 0, NULL)").unwrap();
    check("INSERT INTO erasure VALUES(1, 2, 0)", "without a hold");
    check("UPDATE hold SET reason = '', lifted_ms = 1", "never changed");
    check("DELETE FROM hold", "never deleted");
    connection.execute_batch("INSERT INTO erasure VALUES(1, 1, 0)").expect("control: below the hold");
    connection.execute_batch("UPDATE event SET body = NULL WHERE seq = 0").expect("control: it is erased");
    check("UPDATE event SET body = NULL WHERE seq = 1", "before its retention ends");
    check("UPDATE event SET body = x'00' WHERE seq = 0", "never changed");
    check("UPDATE erasure SET through = 2", "never changed");
    check("DELETE FROM erasure", "never deleted");
    connection.execute_batch("UPDATE hold SET lifted_ms = 1").expect("control: a hold can be lifted");
    check("UPDATE hold SET lifted_ms = 2", "lifted once");
    connection.execute_batch("INSERT INTO waypoint VALUES(1, 3, x'00')").unwrap();
    check("UPDATE waypoint SET frontier = x'01'", "never changed");
    check("DELETE FROM waypoint", "never deleted");
    connection.execute_batch(&insert(3)).expect("control: the next event in its place is taken");
}
