//! Goal: a partner's manifests and files come whole and in order, or say why not, whatever its file
//! server does; and nothing of ours goes where it was not agreed.
//!
//! How: a file server on loopback that cuts, lies and changes its mind by a script.

use crate::file_server::{FileServer, Step, fetcher, gzip, header, read_head};
use exchange::Code;
use wire::fetch::{Access, Bounds, Download, Fault, Fetcher, FileHeaders, Line, Place};

/// Five lines, one of them empty, the last without its end.
const FILE: &[u8] = b"{\"a\":1}\n{\"a\":2}\n\n{\"a\":3}\r\n{\"a\":4}";
const LINES: [(u64, &str); 4] =
    [(1, "{\"a\":1}"), (2, "{\"a\":2}"), (4, "{\"a\":3}"), (5, "{\"a\":4}")];

async fn rest(download: &mut Download) -> Result<Vec<(u64, String)>, Fault> {
    let mut lines = Vec::new();
    while let Some(line) = download.next().await? {
        lines.push(told(&line));
    }
    Ok(lines)
}

fn told(line: &Line) -> (u64, String) {
    let text = line.text.as_ref().map_or("too long".into(), |it| String::from_utf8_lossy(it));
    (line.number, text.into_owned())
}

async fn all(fetcher: &Fetcher, url: &str) -> Result<Vec<(u64, String)>, Fault> {
    let mut download = fetcher.open(url, &Access::default(), Place::default()).await?;
    rest(&mut download).await
}

fn expected() -> Vec<(u64, String)> {
    LINES.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
}

#[tokio::test]
async fn a_file_comes_in_every_way_it_can_be_sent() {
    let server = FileServer::open().await;
    let two_members = [gzip(&FILE[..10]), gzip(&FILE[10..])].concat();
    let table = [
        ("as it is", Step::file(FILE)),
        ("in chunks", Step::file(FILE).chunked()),
        ("without a length", Step::file(FILE).endless()),
        ("gzip", Step::gzip(FILE)),
        ("gzip in chunks", Step::gzip(FILE).chunked()),
        ("gzip without a length", Step::gzip(FILE).endless()),
        ("gzip in two members", Step::file(two_members).with("content-encoding", "gzip")),
        (
            "by a static server",
            Step::of(200, FILE).with("content-type", "application/octet-stream"),
        ),
    ];
    for (case, step) in table {
        let url = server.serve("/f", [step]);
        assert_eq!(all(&server.fetcher(), &url).await, Ok(expected()), "{case}");
    }
    for head in server.heads() {
        assert_eq!(header(&head, "accept-encoding").as_deref(), Some("gzip"));
        assert!(header(&head, "accept").unwrap().starts_with("application/fhir+ndjson"));
        assert_eq!(header(&head, "authorization"), None);
    }
    let url = server.serve("/empty", [Step::file("")]);
    assert_eq!(all(&server.fetcher(), &url).await, Ok(vec![]));
}

#[tokio::test]
async fn a_file_cut_anywhere_comes_whole_by_the_next_connection() {
    let server = FileServer::open().await;
    let packed = gzip(FILE).len();
    type Make = fn(&[u8]) -> Step;
    let table: [(&str, usize, Make); 5] = [
        ("with a strong tag", FILE.len(), |file| Step::file(file).in_parts("\"one\"")),
        ("with a weak tag", FILE.len(), |file| Step::file(file).with("etag", "W/\"one\"")),
        ("with nothing", FILE.len(), |file| Step::file(file)),
        ("in chunks", FILE.len(), |file| Step::file(file).chunked()),
        ("gzip", packed, |file| Step::gzip(file).with("etag", "\"one\"")),
    ];
    for (case, length, make) in table {
        for at in 0..length {
            let url = server.serve("/f", [make(FILE).cut(at), make(FILE)]);
            let mut download =
                server.fetcher().open(&url, &Access::default(), Place::default()).await.unwrap();
            let mut lines = Vec::new();
            // Where the first connection brought no line, the caller asks again, later.
            let fault = loop {
                match download.next().await {
                    Ok(Some(line)) => lines.push(told(&line)),
                    Ok(None) => break None,
                    Err(fault) => break Some(fault),
                }
            };
            if let Some(fault) = fault {
                assert!(fault.is_passing() && lines.is_empty(), "{case} at {at}: {fault}");
                let place = download.place();
                let again = server.fetcher().open(&url, &Access::default(), place).await;
                lines.extend(rest(&mut again.unwrap()).await.unwrap());
            }
            assert_eq!(lines, expected(), "{case} at {at}");
        }
    }
}

#[tokio::test]
async fn what_is_known_is_left_out_only_under_a_strong_tag() {
    let server = FileServer::open().await;
    let table = [
        ("strong", Step::file(FILE).in_parts("\"one\""), Some("bytes=8-")),
        ("weak", Step::file(FILE).in_parts("W/\"one\""), None),
        ("none", Step::file(FILE), None),
        ("encoded", Step::gzip(FILE).with("etag", "\"one\""), None),
    ];
    for (case, step, range) in table {
        let url = server.serve("/f", [step]);
        let (fetcher, access) = (server.fetcher(), Access::default());
        let mut download = fetcher.open(&url, &access, Place::default()).await.unwrap();
        download.next().await.unwrap();
        // The place is written down, and read by another process.
        let place = serde_json::to_string(&download.place()).unwrap();
        drop((download, server.heads()));
        let place = serde_json::from_str(&place).unwrap();
        let mut download = server.fetcher().open(&url, &access, place).await.unwrap();
        assert_eq!(rest(&mut download).await, Ok(expected()[1..].to_vec()), "{case}");
        let heads = server.heads();
        assert_eq!(header(&heads[0], "range").as_deref(), range, "{case}");
        if range.is_some() {
            assert_eq!(header(&heads[0], "if-range").as_deref(), Some("\"one\""), "{case}");
            assert_eq!(header(&heads[0], "accept-encoding").as_deref(), Some("identity"));
        }
        // At the end there is nothing more, and nothing comes twice.
        let mut over = fetcher.open(&url, &access, download.place()).await.unwrap();
        assert_eq!(rest(&mut over).await, Ok(vec![]), "{case}");
    }
}

#[tokio::test]
async fn another_edition_is_never_taken_for_the_same() {
    let server = FileServer::open().await;
    let other = b"{\"a\":1}\n{\"b\":2}\n{\"b\":3}\n".as_slice();
    let first = |step: Step| step.cut(18);
    let tagged = |file: &[u8], tag: &str| Step::file(file).in_parts(tag);
    let changed = Some(Fault::Changed);
    let wrong_part = Some(Fault::Invalid("it sent another part than was asked for"));
    let refused = Step::of(416, "").with("content-range", "bytes */5");
    let part = |from: usize| {
        let range = format!("bytes {from}-{}/{}", FILE.len() - 1, FILE.len());
        let step = Step::of(206, &FILE[from..]).with("content-range", &range);
        step.with("content-type", "application/fhir+ndjson").with("etag", "\"one\"")
    };
    let table = [
        ("the same", tagged(FILE, "\"one\""), tagged(FILE, "\"one\""), None),
        (
            "ranges are not kept to",
            tagged(FILE, "\"one\""),
            Step::file(FILE).with("etag", "\"one\""),
            None,
        ),
        ("another tag", tagged(FILE, "\"one\""), tagged(other, "\"two\""), changed.clone()),
        (
            "another weak tag",
            tagged(FILE, "W/\"one\""),
            tagged(other, "W/\"two\""),
            changed.clone(),
        ),
        ("no tag, another line", Step::file(FILE), Step::file(other), changed.clone()),
        ("no tag, another length", Step::file(FILE), Step::file(&FILE[1..]), changed.clone()),
        ("no tag, shorter", Step::file(FILE), Step::file(&FILE[..8]), changed.clone()),
        ("no tag, empty", Step::file(FILE), Step::file(""), changed.clone()),
        ("the part asked for", tagged(FILE, "\"one\""), part(16), None),
        ("another part", tagged(FILE, "\"one\""), part(8), wrong_part),
        ("no such part", tagged(FILE, "\"one\""), refused, changed),
    ];
    for (case, one, another, expected_fault) in table {
        let url = server.serve("/f", [first(one), another]);
        let ended = all(&server.fetcher(), &url).await;
        match expected_fault {
            None => assert_eq!(ended, Ok(expected()), "{case}"),
            Some(fault) => assert_eq!(ended, Err(fault), "{case}"),
        }
    }
}

#[tokio::test]
async fn lengths_that_lie_and_streams_that_end_early_are_noticed() {
    let server = FileServer::open().await;
    let packed = gzip(FILE);
    let cut_gzip = || Step::file(&packed[..packed.len() - 4]).with("content-encoding", "gzip");
    let mut broken = packed.clone();
    broken[15] ^= 0xff;
    let trailing = [packed.as_slice(), b"and more of what is no gzip"].concat();
    let coded = |body: Vec<u8>| Step::file(body).with("content-encoding", "gzip");
    let table = [
        ("more was claimed", Step::file(FILE).claiming(100), Code::FileUnreachable),
        ("10 TB were claimed", Step::file(FILE).claiming(10_000_000_000_000), Code::FileInvalid),
        (
            "the last chunk is missing",
            Step::file(FILE).chunked().cut(FILE.len() - 1),
            Code::FileUnreachable,
        ),
        ("gzip without its trailer", cut_gzip(), Code::FileUnreachable),
        ("the same without a length", cut_gzip().endless(), Code::FileUnreachable),
        ("gzip that is broken", coded(broken), Code::FileInvalid),
        ("gzip with more behind it", coded(trailing), Code::FileInvalid),
        ("no gzip", coded(FILE.to_vec()), Code::FileInvalid),
        (
            "a coding nobody asked for",
            Step::file(FILE).with("content-encoding", "br"),
            Code::FileInvalid,
        ),
        ("a page", Step::of(200, "<html>").with("content-type", "text/html"), Code::FileInvalid),
        ("no content", Step::of(204, ""), Code::FileInvalid),
        (
            "a part of its own accord",
            Step::of(206, FILE).with("content-range", "bytes 0-9/9"),
            Code::FileInvalid,
        ),
    ];
    for (case, step, code) in table {
        let url = server.serve("/f", [step]);
        let fault = all(&server.fetcher(), &url).await.unwrap_err();
        assert_eq!(fault.issue("output[0]").code, code, "{case}: {fault}");
        assert_eq!(fault.is_passing(), code == Code::FileUnreachable, "{case}");
    }
}

#[tokio::test]
async fn a_server_that_always_breaks_off_is_asked_a_bounded_number_of_times() {
    let server = FileServer::open().await;
    // It gives one more line each time, then nothing new any more.
    let many = "{\"a\":1}\n".repeat(100);
    let steps = (1..).map(|lines| Step::file(many.as_bytes()).cut(8 * lines + 3)).take(100);
    let url = server.serve("/f", steps);
    let fault = all(&server.fetcher(), &url).await.unwrap_err();
    assert!(matches!(fault, Fault::Cut(_)), "{fault:?}");
    assert_eq!(server.heads().len() as u32, 1 + wire::limits::RESUMES_MAX);
    let url = server.serve("/g", [Step::file(FILE).cut(0)]);
    assert!(matches!(all(&server.fetcher(), &url).await, Err(Fault::Cut(_))));
    assert_eq!(server.heads().len(), 1, "what brought nothing is the caller's to wait for");
}

#[tokio::test]
async fn a_bomb_is_put_out_and_a_huge_line_costs_only_itself() {
    let server = FileServer::open().await;
    let zeros = vec![b'0'; 40 * 1024 * 1024];
    let url = server.serve("/bomb", [Step::gzip(&zeros)]);
    let fault = all(&server.fetcher(), &url).await.unwrap_err();
    assert_eq!(fault, Fault::Invalid("it unpacks to more than files of its size do"));

    let small = Bounds { file: 20, ..Bounds::default() };
    let too_large = Err(Fault::Invalid("it is larger than this house reads"));
    for step in [Step::file(FILE), Step::file(FILE).chunked(), Step::gzip(FILE)] {
        let url = server.serve("/large", [step]);
        let ended = all(&server.fetcher_within(small), &url).await;
        assert_eq!(ended, too_large);
    }

    let long = vec![b' '; wire::limits::LINE_BYTES_MAX + 1];
    let file = [b"{}\n".as_slice(), &long, b"\n[]\n"].concat();
    let url = server.serve("/long", [Step::file(file)]);
    let access = Access::default();
    let mut download = server.fetcher().open(&url, &access, Place::default()).await.unwrap();
    assert_eq!(told(&download.next().await.unwrap().unwrap()), (1, "{}".into()));
    let line = download.next().await.unwrap().unwrap();
    let issue = line.text.unwrap_err().issue("output[7]");
    assert_eq!((issue.code, issue.offset), (Code::FileInvalid, Some(3)));
    assert!(issue.detail.contains("line 2"), "{issue}");
    // Behind it, too, reading can go on.
    let mut download = server.fetcher().open(&url, &access, download.place()).await.unwrap();
    assert_eq!(rest(&mut download).await, Ok(vec![(3, "[]".into())]));
}

#[tokio::test]
async fn refusals_are_final_and_overload_passes() {
    let server = FileServer::open().await;
    for status in [400, 401, 403, 404, 410, 416] {
        let url = server.serve("/f", [Step::of(status, "no")]);
        let fault = all(&server.fetcher(), &url).await.unwrap_err();
        assert_eq!(fault, Fault::Refused(status));
        assert_eq!(fault.issue("output[0]").code, Code::FileRefused);
    }
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let url = server.serve("/f", [Step::of(status, "later").with("retry-after", "90")]);
        let fault = all(&server.fetcher(), &url).await.unwrap_err();
        assert_eq!(fault.pause(1).map(|pause| pause.as_secs()), Some(90), "{status}");
    }
    let requests = server.heads().len();
    assert_eq!(requests, 13, "each asked once: waiting is the caller's");
    // Nobody listens there.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let fetcher = fetcher(&[&origin], &["127.0.0.1"], Bounds::default());
    let fault = all(&fetcher, &format!("{origin}/f")).await.unwrap_err();
    assert_eq!(fault.issue("output[0]").code, Code::FileUnreachable);
}

#[tokio::test]
async fn nobody_is_asked_beyond_what_was_agreed() {
    let (server, other) = (FileServer::open().await, FileServer::open().await);
    other.serve("/f", [Step::file(FILE)]);
    let elsewhere = format!("{}/f", other.origin);
    let fetcher_here = server.fetcher();
    let not_agreed = |ended: Result<Vec<(u64, String)>, Fault>, case: &str| {
        let issue = ended.unwrap_err().issue("output[0]");
        assert_eq!(issue.code, Code::FileNotAgreed, "{case}");
        assert!(!issue.to_string().contains("127.0.0.1"), "no URL in words: {case}");
    };
    not_agreed(all(&fetcher_here, &elsewhere).await, "another origin");
    let url = server.serve("/moved", [Step::of(302, "").with("location", &elsewhere)]);
    not_agreed(all(&fetcher_here, &url).await, "a redirect to another origin");
    assert_eq!(other.heads(), Vec::<String>::new(), "it was never asked");

    let url = server.serve("/short", [Step::of(307, "").with("location", "/f")]);
    server.serve("/f", [Step::file(FILE)]);
    assert_eq!(all(&fetcher_here, &url).await, Ok(expected()), "within one origin");
    let url = server.serve("/loop", [Step::of(301, "").with("location", "/loop")]);
    assert!(matches!(all(&fetcher_here, &url).await, Err(Fault::Invalid(_))));

    // Agreed on as an origin, and still within the house's own network.
    let own = fetcher(&[&server.origin], &[], Bounds::default());
    server.heads();
    not_agreed(all(&own, &format!("{}/f", server.origin)).await, "an address of its own network");
    let named = server.origin.replace("127.0.0.1", "localhost");
    let own = fetcher(&[&named], &[], Bounds::default());
    not_agreed(all(&own, &format!("{named}/f")).await, "a name that leads there");
    assert_eq!(server.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn what_the_submission_asks_for_goes_with_each_request() {
    let server = FileServer::open().await;
    let url = server.serve("/f", [Step::file(FILE).in_parts("\"one\"").cut(18), Step::file(FILE)]);
    let pairs =
        [("X-Share", "abc"), ("Accept", "application/x-ndjson"), ("Authorization", "Basic eDp5")];
    let access = Access::open(FileHeaders::read(pairs, false).unwrap());
    let mut download = server.fetcher().open(&url, &access, Place::default()).await.unwrap();
    // The second answer has no tag: it is passed over as far as it is known.
    assert_eq!(rest(&mut download).await, Ok(expected()));
    let manifest = server.serve("/m", [Step::json("{}")]);
    server.fetcher().manifest(&manifest, &access).await.unwrap();
    let heads = server.heads();
    assert_eq!(heads.len(), 3);
    for head in heads {
        assert_eq!(header(&head, "x-share").as_deref(), Some("abc"));
        assert_eq!(header(&head, "accept").as_deref(), Some("application/x-ndjson"));
        assert_eq!(header(&head, "authorization").as_deref(), Some("Basic eDp5"));
    }
}

#[tokio::test]
async fn a_manifest_is_a_json_object_of_bounded_size() {
    let server = FileServer::open().await;
    let bounds = Bounds { manifest: 50, ..Bounds::default() };
    let fetcher = server.fetcher_within(bounds);
    let packed = |body: &[u8]| Step::json(gzip(body)).with("content-encoding", "gzip");
    let table = [
        ("plain", Step::json("{\"a\":1}"), None),
        ("gzip", packed(b"{\"a\":1}"), None),
        ("in chunks", Step::json("{\"a\":1}").chunked(), None),
        ("an array", Step::json("[]"), Some(Code::FileInvalid)),
        ("nothing", Step::json(""), Some(Code::FileInvalid)),
        ("a page", Step::of(200, "{}").with("content-type", "text/html"), Some(Code::FileInvalid)),
        ("accepted only", Step::of(202, "{}"), Some(Code::FileInvalid)),
        ("too large", Step::json(vec![b' '; 51]), Some(Code::FileInvalid)),
        ("too large in chunks", Step::json(vec![b' '; 51]).chunked(), Some(Code::FileInvalid)),
        ("too large unpacked", packed(&[b' '; 5_000]), Some(Code::FileInvalid)),
        ("cut", Step::json("{\"a\":1}").cut(3), Some(Code::FileUnreachable)),
        ("gone", Step::of(404, ""), Some(Code::FileRefused)),
    ];
    for (case, step, code) in table {
        let url = server.serve("/m", [step]);
        let ended = fetcher.manifest(&url, &Access::default()).await;
        match code {
            None => assert_eq!(ended.unwrap().as_ref(), b"{\"a\":1}", "{case}"),
            Some(code) => assert_eq!(ended.unwrap_err().issue("manifest").code, code, "{case}"),
        }
    }
}

#[tokio::test]
async fn a_download_that_is_dropped_leaves_its_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 So\r\n\r\n").await.unwrap();
        // It never ends by itself.
        while stream.write_all(b"{\"a\":1}\n").await.is_ok() {}
    });
    let fetcher = fetcher(&[&origin], &["127.0.0.1"], Bounds::default());
    let url = format!("{origin}/f");
    let mut download = fetcher.open(&url, &Access::default(), Place::default()).await.unwrap();
    assert_eq!(told(&download.next().await.unwrap().unwrap()), (1, "{\"a\":1}".into()));
    drop(download);
    served.await.unwrap();
}
