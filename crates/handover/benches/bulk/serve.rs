//! Serve: a static file server on loopback, in a process of its own.
//!
//! Comes in   a folder of packed files; requests.
//! Goes out   its origin, on the first line; files with their length, tag and coding.
//! Never      does anything else: what it costs is nobody's figure.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// Serves until the process is ended.
pub(crate) fn serve(folder: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    for stream in listener.incoming().flatten() {
        let folder = folder.to_owned();
        // Whoever asks may leave in the middle.
        std::thread::spawn(move || drop(answer(stream, &folder)));
    }
}

fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut asked = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    asked.read_line(&mut first)?;
    let mut line = String::new();
    while asked.read_line(&mut line)? > 2 {
        line.clear();
    }
    let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let mut file = File::open(folder.join(format!("{name}.gz")))?;
    let length = file.metadata()?.len();
    let kind = if name.ends_with(".json") { "json" } else { "fhir+ndjson" };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/{kind}\r\n\
         content-encoding: gzip\r\netag: \"{name}\"\r\ncontent-length: {length}\r\n\r\n"
    )?;
    std::io::copy(&mut file, &mut stream).map(drop)
}
