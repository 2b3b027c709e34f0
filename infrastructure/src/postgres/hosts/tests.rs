//! Tests of URLs with one server or several.

use super::*;

/// Host or socket, and port, of each server.
fn servers(text: &str) -> Vec<String> {
    let servers = PostgresServers::parse(text).unwrap();
    let each = servers.each.iter().map(|options| {
        let socket = options.get_socket().map(|path| path.display().to_string());
        let host = socket.unwrap_or_else(|| options.get_host().to_owned());
        format!("{host} {}", options.get_port())
    });
    each.collect()
}

#[test]
fn hosts_are_read_as_libpq_reads_them() {
    for (text, expected) in [
        ("postgres://u@a/db", vec!["a 5432"]),
        ("postgresql://u:p@a:1/db?sslmode=disable", vec!["a 1"]),
        ("postgres://u:p@a:1,b:2/db", vec!["a 1", "b 2"]),
        ("postgres://u:p@a,b:2/db", vec!["a 5432", "b 2"]),
        ("postgres://u@a,b/db?port=7", vec!["a 7", "b 7"]),
        ("postgres://u@/db?host=a,b", vec!["a 5432", "b 5432"]),
        (
            "postgres:///db?host=a,b&port=1,2&user=u",
            vec!["a 1", "b 2"],
        ),
        (
            "postgres://u@[::1]:1,[::2]:2/db",
            vec!["[::1] 1", "[::2] 2"],
        ),
        (
            "postgres://u:p@/db?host=/cloudsql/project:region:name",
            vec!["/cloudsql/project:region:name 5432"],
        ),
        ("postgres://u:p@%2Fvar%2Frun/db", vec!["/var/run 5432"]),
        (
            "postgres:///db?host=/tmp,/var/run&port=1,2",
            vec!["/tmp 1", "/var/run 2"],
        ),
    ] {
        assert_eq!(servers(text), expected, "{text}");
    }
}

#[test]
fn every_server_gets_the_rest_of_the_url() {
    let text = "postgres://ann:p%40ss@a,b/shop?sslmode=require&target_session_attrs=read-write&application_name=x";
    for options in PostgresServers::parse(text).unwrap().each {
        assert_eq!(options.get_username(), "ann");
        assert_eq!(options.get_database(), Some("shop"));
        let url = options.to_url_lossy().to_string();
        assert!(
            url.contains("p%40ss") && url.contains("sslmode=require"),
            "{url}"
        );
    }
}

#[test]
fn a_server_must_accept_writes_if_there_are_several_or_the_url_asks_for_it() {
    for (text, expected) in [
        ("postgres://a/db", false),
        ("postgres://a/db?target_session_attrs=any", false),
        ("postgres://a/db?target_session_attrs=read-write", true),
        ("postgres://a/db?target_session_attrs=primary", true),
        ("postgres://a,b/db", true),
        ("postgres://a,b/db?target_session_attrs=any", true),
    ] {
        let servers = PostgresServers::parse(text).unwrap();
        assert_eq!(servers.must_write, expected, "{text}");
    }
}

#[test]
fn an_invalid_url_is_refused_without_showing_its_password() {
    for text in [
        "",
        "mysql://a/db",
        "postgres:a",
        "postgres://u:secret@a,,b/db",
        "postgres://u:secret@a:x,b:2/db",
        "postgres://u:secret@a:99999/db",
        "postgres://u:secret@a,b,c/db?port=1,2",
        "postgres://u:secret@a,b/db?port=x",
        "postgres://u:secret@a,b/db?target_session_attrs=standby",
        "postgres://u:secret@a/db?sslmode=perhaps",
    ] {
        let error = PostgresServers::parse(text).err();
        let error = error.unwrap_or_else(|| panic!("{text} is taken"));
        let words = format!("{error} {error:?}");
        assert!(!words.contains("secret"), "{words}");
    }
}
