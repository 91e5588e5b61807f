//! Goal: a private server keeps what it was given and never outlives whoever started it.
//!
//! How: a real server each; the process that dies is this very program, started a second time.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use testdb::Server;

const KEEP: &str = "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('here')";

#[test]
fn what_was_committed_is_there_after_a_stop_and_after_a_kill() {
    let Some(mut server) = Server::start() else { return };
    server.create_database("one");
    server.sql("one", KEEP);
    server.stop_fast();
    assert_eq!(server.cpu_seconds(), 0.0, "nothing runs");
    server.start_again();
    assert_eq!(server.sql("one", "SELECT word FROM kept"), "here");
    server.kill();
    server.start_again();
    assert_eq!(server.sql("one", "SELECT word FROM kept"), "here");
    let burn = "SELECT count(*) FROM generate_series(1, 3000000)";
    server.sql("one", burn);
    assert!(server.cpu_seconds() > 0.0);
}

#[test]
fn it_is_as_durable_as_in_earnest_and_on_no_network() {
    let Some(server) = Server::start_with(&[("wal_recycle", "off")]) else { return };
    let table = [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("listen_addresses", ""),
        ("wal_recycle", "off"),
    ];
    for (setting, value) in table {
        assert_eq!(server.sql("postgres", &format!("SHOW {setting}")), value, "{setting}");
    }
    let order = "SELECT 'a' < 'B', 'a' COLLATE \"C\" < 'B'";
    assert_eq!(server.sql("postgres", order), "t|f", "text is not in the order of bytes");
    let mode = server.folder().parent().unwrap().metadata().unwrap().mode();
    assert_eq!(mode & 0o077, 0, "nobody else reaches its socket");
}

#[test]
fn each_test_has_a_database_of_its_own() {
    let Some(one) = Server::shared() else { return };
    let other = Server::shared().unwrap();
    one.sql(KEEP);
    other.sql(KEEP);
    assert_eq!(other.sql("SELECT count(*) FROM kept"), "1");
    let (name, url) = (one.sql("SELECT current_database()"), other.url());
    drop(one);
    drop(other);
    let third = Server::shared().unwrap();
    let left = third.sql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"));
    assert_eq!(left, "0", "and takes it along; {url}");
}

#[test]
fn a_server_ends_with_the_process_that_started_it() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_process_that_dies", "--nocapture"]).env("TESTDB_DIES", "1");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines.find_map(|line| Some(line.unwrap().split_once("folder ")?.1.to_owned()));
    let Some(folder) = folder else {
        child.wait().unwrap();
        return;
    };
    let postmaster = Path::new(&folder).join("data/postmaster.pid");
    let mut id = String::new();
    std::fs::File::open(postmaster).unwrap().read_to_string(&mut id).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(testdb::wait(|| !Path::new(&folder).exists()), "its folder goes");
    let id = id.lines().next().unwrap().to_owned();
    assert!(testdb::wait(|| !Path::new("/proc").join(&id).exists()), "its process goes");
}

#[test]
fn a_process_that_dies() {
    if std::env::var_os("TESTDB_DIES").is_none() {
        return;
    }
    let Some(server) = Server::start() else { return };
    println!("folder {}", server.folder().parent().unwrap().display());
    let mut never = String::new();
    // Whoever started this process holds the other end and kills it here.
    std::io::stdin().read_line(&mut never).unwrap();
    loop {
        std::thread::park();
    }
}
