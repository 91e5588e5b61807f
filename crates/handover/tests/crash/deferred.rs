//! A Bundle whose sender does not wait is filed once, though the house is ended as soon as it has it.

use crate::door::{Door, post};
use crate::outcome::all_submissions;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_bundle_that_was_taken_is_filed_once_though_the_house_is_ended() {
    let mut door = Door::open();
    let payer = &mut door.stage.payers[0];
    payer.stop();
    payer.serve_with(&[("HANDOVER_HALT_AFTER", "deferred")]);
    let ask = |door: &Door| {
        let body = Bytes::from(door.bundle(1).to_string());
        post(door, &door.token).header("prefer", "respond-async").body(body).unwrap()
    };
    let request = ask(&door);
    std::thread::scope(|scope| {
        let (sender, payer) = (&door.sender, &mut door.stage.payers[0]);
        let asked = scope.spawn(|| crate::common::RUNTIME.block_on(sender.attempt(request)));
        payer.process().wait_halted();
        payer.kill();
        assert!(asked.join().unwrap().is_err(), "nobody was told anything");
    });
    door.stage.payers[0].serve();
    // Its sender knows of nothing and sends it again: it is told where the first one is.
    let told = door.sender.send(ask(&door));
    assert_eq!(told.status, 202);
    let place = told.headers["content-location"].to_str().unwrap().to_owned();
    let path = place.strip_prefix(&door.sender.base_url).unwrap().trim_start_matches('/');
    let end = Instant::now() + PATIENCE;
    let manifest = loop {
        let told = door.sender.get(&door.token, path);
        if told.status == 200 {
            break told.json();
        }
        assert_eq!(told.status, 202);
        assert!(Instant::now() < end, "waited in vain");
        let seconds = told.headers["retry-after"].to_str().unwrap().parse().unwrap();
        std::thread::park_timeout(Duration::from_secs(seconds));
    };
    assert_eq!(manifest["output"][0]["type"], "Bundle", "{manifest}");
    assert_eq!(all_submissions(door.payer()).len(), 1);
    let versions: Vec<u64> = door.payer().dump().into_iter().map(|line| line.2).collect();
    assert_eq!(versions, [1, 1, 1], "each record once");
}
