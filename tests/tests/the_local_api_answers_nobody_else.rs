//! Web pages, foreign hosts and programs without the token are turned away before any handler runs.
//! Never only asserted: the same requests with the right marks go through.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use zhenyin_tests::world::World;

/// Sends one raw request and gives the status code.
fn status_of(address: SocketAddr, request: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0))
}

#[test]
fn the_local_api_answers_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::build(folder.path(), None).unwrap();
    let address = world.address().unwrap();
    let token = std::fs::read_to_string(world.config.state.join("api.token")).unwrap();
    let request = |line: &str, host: &str, more: &str, body: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n{body}",
            body.len()
        )
    };
    let own = address.to_string();
    let json = "Content-Type: application/json\r\n";
    let bearer = format!("{json}Authorization: Bearer {token}\r\n");
    let begin = "POST /v1/sessions";
    let login = r#"{"purpose":"staff-login"}"#;
    let check = |line: &str, host: &str, more: &str, body: &str, want: u16| {
        assert_eq!(
            status_of(address, &request(line, host, more, body)).unwrap(),
            want,
            "{line} {host} {more}"
        );
    };
    check(begin, &own, json, login, 401);
    check(begin, &own, &format!("{json}Authorization: Bearer x{token}\r\n"), login, 401);
    check(begin, "pharmacy.example", &bearer, login, 403);
    check(begin, &format!("rebound.example:{}", address.port()), &bearer, login, 403);
    check(begin, &own, &format!("{bearer}Origin: http://evil.example\r\n"), login, 403);
    check(begin, &own, &format!("{bearer}Origin: null\r\n"), login, 403);
    check(begin, &own, &bearer, "{\"purpose\":\"staff-login\",\"extra\":1}", 422);
    check(begin, &own, &bearer.replace("application/json", "text/plain"), login, 415);
    check("GET /v1/sessions/1/events", &own, "", "", 401);
    check("GET /v1/sessions/77/events", &own, &bearer, "", 404);
    check("GET /v1/status", "pharmacy.example", "", "", 403);
    check("GET /v1/status", &own, "Origin: http://evil.example\r\n", "", 403);
    // The controls: with the right marks each of these goes through.
    check("GET /v1/status", &own, "", "", 200);
    check("GET /", &own, "", "", 200);
    check(begin, &own, &bearer, login, 201);
    check(begin, &own, &bearer, login, 409);
}
