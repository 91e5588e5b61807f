//! Backups and restored houses: whole, or refused.

use crate::common::{House, Process};
use crate::stage;
use std::fs;
use std::path::{Path, PathBuf};
use testdb::Server;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the program on a folder with `--json`: exit code, and the code of the issue if any.
fn ask(house: &House, folder: &Path, words: &[&str]) -> (i32, String) {
    let words = [&["--json", "--house", text(folder)], words].concat();
    let said = house.run_anywhere(&words);
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    (said.code, value["issue"]["code"].as_str().unwrap_or_default().to_owned())
}

/// A new folder with the private keys of a house, as its operator keeps them.
fn keys_of(house: &House, folder: PathBuf) -> PathBuf {
    for file in ["keys/signing.pem", "keys/ledger.pem", "keys/tokens.hex", "keys/operator.pem"] {
        copy(&house.folder.join(file), &folder.join(file));
    }
    copy(&house.folder.join("tls/server-key.pem"), &folder.join("tls/server-key.pem"));
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// Every file of a folder, by its path in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn a_house_is_rebuilt_from_its_backup_and_its_keys() {
    let mut stage = stage(11);
    stage.serve();
    let encounters = stage.finished();
    let (before, after) = encounters.split_at(encounters.len() / 2);
    let pushed = stage.provider.push_all(before);
    assert!(pushed.values().flatten().any(|row| row.state == "settled"), "{pushed:?}");
    let backups = stage.folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    // Both houses run on meanwhile.
    for house in [&stage.payers[0], &stage.provider] {
        let said = house.run(&["backup", text(&backups.join(&house.name))]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(said.stdout.contains("private keys are not"), "{}", said.stdout);
        let again = ask(house, &house.folder, &["backup", text(&backups.join(&house.name))]);
        assert_eq!(again, (2, "command-invalid".to_owned()), "never into a folder that exists");
    }
    for file in files(&backups) {
        let text = fs::read(&file).unwrap();
        let secret = String::from_utf8_lossy(&text).contains("PRIVATE KEY");
        assert!(!secret && !file.ends_with("tokens.hex"), "a private key in {}", file.display());
    }
    let then = stage.payers[0].dump();
    stage.provider.push_all(after);
    assert!(stage.payers[0].dump().len() > then.len(), "the house has gone on");
    stage.payers[0].stop();

    let payer = &stage.payers[0];
    let rebuilt = keys_of(payer, stage.folder.path().join("rebuilt").join(&payer.name));
    let backup = backups.join(&payer.name);
    let said = payer.run_anywhere(&["--house", text(&rebuilt), "restore", text(&backup)]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("verifies"), "{}", said.stdout);
    let twice = ask(payer, &rebuilt, &["restore", text(&backup)]);
    assert_eq!(twice, (2, "backup-unusable".to_owned()), "the place is not empty");
    assert_eq!(ask(payer, &rebuilt, &["ledger", "verify"]).0, 0);
    assert_eq!(ask(payer, &rebuilt, &["db", "check"]).0, 0);

    // It takes its place, and the hospital goes on with it.
    let payer = &mut stage.payers[0];
    payer.folder = rebuilt;
    assert_eq!(payer.dump(), then, "as it was when the copy was made");
    payer.serve();
    let encounter = encounters.last().unwrap();
    assert_ne!(stage.provider.push(encounter)[0].state, "held");
}

/// Takes the last step of the schema back, as if an older version had written this store.
fn make_older(store: &Path) {
    let db = rusqlite::Connection::open(store.join("house.sqlite")).unwrap();
    let step: i64 = db.query_row("SELECT max(version) FROM schema", [], |row| row.get(0)).unwrap();
    assert_eq!(step, 5, "what follows is about this step");
    db.execute_batch(
        "CREATE INDEX tokens_by_record ON tokens (house, record);
        ALTER TABLE records DROP COLUMN tokens;
        DROP INDEX works_by_gathered;
        ALTER TABLE works DROP COLUMN gathered;
        DELETE FROM schema WHERE version = 5;",
    )
    .unwrap();
}

/// The newest backup may be of the day before the upgrade.
#[test]
fn a_backup_of_an_older_version_is_restored_by_this_one() {
    let mut stage = stage(11);
    stage.serve();
    let encounters = stage.finished();
    stage.provider.push_all(&encounters[..encounters.len() / 2]);
    stage.payers[0].stop();
    let (payer, place) = (&stage.payers[0], |name: &str| stage.folder.path().join(name));
    let said = payer.run(&["backup", text(&place("backup"))]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let then = payer.dump();
    assert!(!then.is_empty(), "it holds records");
    make_older(&place("backup").join("store"));

    let restored = keys_of(payer, place("restored"));
    let said = payer.run_anywhere(&["--house", text(&restored), "restore", text(&place("backup"))]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for words in [&["ledger", "verify"][..], &["db", "check"], &["list"]] {
        assert_eq!(ask(payer, &restored, words).0, 0, "{words:?}");
    }
    stage.payers[0].folder = restored;
    assert_eq!(stage.payers[0].dump(), then);
    let schema = place("backup").join("store/house.sqlite");
    let schema = rusqlite::Connection::open(schema).unwrap();
    let step = schema.query_row("SELECT max(version) FROM schema", [], |row| row.get::<_, i64>(0));
    assert_eq!(step.unwrap(), 4, "the backup is as it was");
}

#[test]
fn a_backup_that_was_cut_off_is_none_and_the_next_one_takes_its_place() {
    let stage = stage(11);
    let house = &stage.payers[0];
    let folder = stage.folder.path().join("backup");
    let words = ["--house", text(&house.folder), "backup", text(&folder)];
    let mut halted = Process::start(&words, &[("HANDOVER_HALT_AFTER", "copied")]);
    halted.wait_halted();
    halted.kill();
    assert!(!folder.exists(), "it has not got its name");
    let unfinished = folder.with_file_name("backup.unfinished");
    assert!(unfinished.join("store").is_dir(), "though nearly all is there");
    let place = keys_of(house, stage.folder.path().join("place"));
    let refused = ask(house, &place, &["restore", text(&unfinished)]);
    assert_eq!(refused, (2, "backup-unusable".to_owned()));
    assert_eq!(files(&place).len(), 5, "nothing but the keys");

    assert_eq!(house.run(&["backup", text(&folder)]).code, 0);
    assert!(!unfinished.exists());
    assert_eq!(ask(house, &place, &["restore", text(&folder)]).0, 0);
}

#[test]
fn a_restore_that_was_cut_off_is_no_house() {
    let stage = stage(11);
    let house = &stage.payers[0];
    let folder = stage.folder.path().join("backup");
    assert_eq!(house.run(&["backup", text(&folder)]).code, 0);
    let place = keys_of(house, stage.folder.path().join("place"));
    let words = ["--house", text(&place), "restore", text(&folder)];
    let mut halted = Process::start(&words, &[("HANDOVER_HALT_AFTER", "restored")]);
    halted.wait_halted();
    halted.kill();
    for words in [&["list"][..], &["serve"], &["check"], &["restore", text(&folder)]] {
        let (code, _) = ask(house, &place, words);
        assert_eq!(code, 2, "{words:?}");
    }
    assert_eq!(ask(house, &place, &["list"]).1, "backup-unusable");
    assert_eq!(ask(house, &place, &["restore", text(&folder)]).1, "backup-unusable");
}

/// A leftover would be a partner, an agreement or a member of the restored house.
#[test]
fn a_place_with_anything_but_the_keys_is_no_place_to_restore_to() {
    let stage = stage(11);
    let house = &stage.payers[0];
    let folder = stage.folder.path().join("backup");
    assert_eq!(house.run(&["backup", text(&folder)]).code, 0);
    let place = keys_of(house, stage.folder.path().join("place"));
    let keys = files(&place);
    let leftovers = [
        "partners/stranger.json",
        "agreements/stranger.toml",
        "agreements/valuesets/wide.txt",
        "members.csv",
        "keys/other.pem",
        "notes/left",
        ".hidden",
    ];
    for leftover in leftovers {
        let leftover = place.join(leftover);
        copy(&house.folder.join("public.json"), &leftover);
        let refused = ask(house, &place, &["restore", text(&folder)]);
        assert_eq!(refused, (2, "backup-unusable".to_owned()), "{}", leftover.display());
        fs::remove_file(&leftover).unwrap();
        assert_eq!(files(&place), keys, "nothing was written");
    }
    assert!(place.join("partners").is_dir(), "an empty folder is in nobody's way");
    assert_eq!(ask(house, &place, &["restore", text(&folder)]).0, 0);
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_of_it_stays() {
    let mut stage = stage(11);
    stage.serve();
    let encounter = stage.finished()[0].clone();
    stage.provider.push(&encounter);
    stage.stop();
    let house = &stage.payers[0];
    let folder = stage.folder.path().join("backup");
    assert_eq!(house.run(&["backup", text(&folder)]).code, 0);
    let place = keys_of(house, stage.folder.path().join("place"));
    let keys = files(&place);
    let refused = || {
        let (code, slug) = ask(house, &place, &["restore", text(&folder)]);
        assert_eq!(files(&place), keys, "nothing of it stays");
        (code, slug)
    };
    let unusable = (2, "backup-unusable".to_owned());

    let database = folder.join("store/house.sqlite");
    let whole = fs::read(&database).unwrap();
    let db = rusqlite::Connection::open(&database).unwrap();
    db.execute_batch("UPDATE versions SET content = x'00', packed = 0 WHERE rowid = 1").unwrap();
    drop(db);
    assert_eq!(refused(), unusable, "a content that was changed");
    fs::write(&database, &whole).unwrap();
    let db = rusqlite::Connection::open(&database).unwrap();
    db.execute_batch("DROP TRIGGER entries_stand; UPDATE entries SET at = at + 1 WHERE seq = 2")
        .unwrap();
    drop(db);
    assert_eq!(refused(), unusable, "a line that was changed");
    fs::write(&database, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(refused(), unusable, "half of it");
    fs::write(&database, &whole).unwrap();
    let manifest = folder.join("backup.toml");
    let said = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, said.replace("format = 1", "format = 99")).unwrap();
    assert_eq!(refused(), unusable, "a newer program's");
    fs::write(&manifest, &said).unwrap();

    fs::rename(place.join("keys/ledger.pem"), stage.folder.path().join("ledger.pem")).unwrap();
    let (code, slug) = ask(house, &place, &["restore", text(&folder)]);
    assert_eq!((code, slug == "backup-unusable"), (2, false), "without the ledger's key");
    fs::rename(stage.folder.path().join("ledger.pem"), place.join("keys/ledger.pem")).unwrap();
    assert_eq!(ask(house, &place, &["restore", text(&folder)]).0, 0, "whole again");
}

/// Beside the house it was copied from, with the same place for contents in its configuration.
#[test]
fn a_restored_house_leaves_the_contents_of_the_other_alone() {
    let stage = stage(11);
    let house = &stage.payers[0];
    let place = |name: &str| stage.folder.path().join(name);
    let config = house.read("house.toml");
    let blobs = format!("\n[blobs]\nfolder = \"{}\"\n", text(&place("contents")));
    house.write("house.toml", &format!("{config}{blobs}"));
    assert_eq!(house.run(&["list"]).code, 0);
    let part = fs::read_dir(place("contents")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(house.run(&["backup", text(&place("backup"))]).code, 0);
    // As a content that came after the backup.
    let later = part.join("ab".repeat(32));
    fs::write(&later, "later").unwrap();

    let restored = keys_of(house, place("restored"));
    assert_eq!(ask(house, &restored, &["restore", text(&place("backup"))]).0, 0);
    assert_eq!(ask(house, &restored, &["list"]).0, 0);
    assert!(later.exists(), "nothing was swept");
    let left = fs::read_to_string(restored.join("house.toml")).unwrap();
    assert!(left.contains("\n# [blobs]\n# folder"), "{left}");
    fs::write(restored.join("house.toml"), format!("{config}{blobs}")).unwrap();
    for words in [&["list"][..], &["db", "check"], &["list"]] {
        assert_eq!(ask(house, &restored, words).0, 0, "{words:?}");
    }
    assert!(later.exists(), "nor with the place named again");
    assert_eq!(fs::read_dir(place("contents")).unwrap().count(), 2, "it has a part of its own");

    let inline = format!("blobs = {{ folder = \"{}\" }}\n{config}", text(&place("contents")));
    fs::write(place("backup").join("house.toml"), inline).unwrap();
    let other = keys_of(house, place("other"));
    let refused = ask(house, &other, &["restore", text(&place("backup"))]);
    assert_eq!(refused, (2, "backup-unusable".to_owned()), "what cannot be taken out");
}

#[test]
fn a_house_is_rebuilt_in_a_database_server_and_comes_back_into_a_folder() {
    let Some(server) = Server::start() else { return };
    let mut stage = stage(11);
    stage.serve();
    let encounters = stage.finished();
    let (before, after) = encounters.split_at(encounters.len() / 2);
    stage.provider.push_all(before);
    let place = |name: &str| stage.folder.path().join(name);
    let backup = place("backup");
    let payer = &stage.payers[0];
    assert_eq!(payer.run(&["backup", text(&backup)]).code, 0);
    let then = payer.dump();
    assert!(!then.is_empty(), "it holds something");

    let keys = keys_of(payer, place("rebuilt"));
    let restore = ["restore", "--database", text(&backup)];
    let unusable = (2, "backup-unusable".to_owned());
    assert_eq!(ask(payer, &keys, &restore), unusable, "it names no server yet");
    let config = fs::read_to_string(backup.join("house.toml")).unwrap();
    let url = server.create_database("plan");
    let config = format!("{config}\n[database]\npostgres = \"{url}\"\n");
    fs::write(backup.join("house.toml"), config).unwrap();
    let away = format!("{url}-missing");
    let (config, empty) = (fs::read_to_string(backup.join("house.toml")).unwrap(), files(&keys));
    fs::write(backup.join("house.toml"), config.replace(&url, &away)).unwrap();
    assert_eq!(ask(payer, &keys, &restore), (2, "store-unavailable".to_owned()));
    assert_eq!(files(&keys), empty, "nothing of it stays");
    fs::write(backup.join("house.toml"), &config).unwrap();
    let cut = keys_of(payer, place("cut"));
    let words = ["--house", text(&cut), restore[0], restore[1], restore[2]];
    let mut halted = Process::start(&words, &[("HANDOVER_HALT_AFTER", "poured")]);
    halted.wait_halted();
    halted.kill();
    assert_eq!(ask(payer, &cut, &["list"]), unusable, "it was cut off before it was proved");
    assert_eq!(ask(payer, &keys, &restore).0, 0, "and is not in the server's way");
    assert!(!keys.join("store/house.sqlite").exists(), "the store is in the server");
    assert!(!keys.join("store.restoring").exists(), "and the copy has gone");
    let second = keys_of(payer, place("second"));
    assert_eq!(ask(payer, &second, &restore), unusable, "the server holds it now");
    assert_eq!(
        files(&second),
        empty
            .iter()
            .map(|it| place("second").join(it.strip_prefix(&keys).unwrap()))
            .collect::<Vec<_>>()
    );

    // It takes its place, and the hospital goes on with it.
    stage.payers[0].stop();
    stage.payers[0].folder = keys;
    let payer = &mut stage.payers[0];
    assert_eq!(payer.dump(), then, "as it was when the copy was made");
    payer.serve();
    stage.provider.push_all(after);
    let payer = &stage.payers[0];
    assert!(payer.dump().len() > then.len(), "it has gone on");
    for words in [&["ledger", "verify"][..], &["db", "check"]] {
        assert_eq!(ask(payer, &payer.folder, words).0, 0, "{words:?}");
    }

    // And back, with a backup of the server's.
    let (again, now) = (place("again"), payer.dump());
    assert_eq!(payer.run(&["backup", text(&again)]).code, 0);
    stage.payers[0].stop();
    let back = keys_of(&stage.payers[0], place("back"));
    assert_eq!(ask(&stage.payers[0], &back, &["restore", text(&again)]).0, 0);
    stage.payers[0].folder = back;
    assert_eq!(stage.payers[0].dump(), now, "nothing is lost on the way");
}

#[test]
fn a_look_at_a_database_makes_nothing_there() {
    let Some(server) = Server::start() else { return };
    let stage = stage(11);
    let house = &stage.payers[0];
    let url = server.create_database("looked");
    let config = house.read("house.toml");
    house.write("house.toml", &format!("{config}\n[database]\npostgres = \"{url}\"\n"));
    let look = || {
        let said = house.run(&["db", "check"]);
        (said.code, said.stdout)
    };
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let (code, said) = look();
    assert_eq!((code, said.contains("no house yet")), (0, true), "{said}");
    assert_eq!(server.sql("looked", tables), "0");

    assert_eq!(house.run(&["list"]).code, 0);
    let (code, said) = look();
    assert_eq!((code, said.contains("the newest")), (0, true), "{said}");
    server.sql("looked", "UPDATE houses SET name = 'another'");
    let (code, said) = look();
    assert_eq!((code, said.contains("no house yet")), (0, true), "{said}");
    assert_eq!(server.sql("looked", "SELECT name FROM houses"), "another");

    let older =
        format!("UPDATE houses SET name = '{}'; DELETE FROM schema WHERE version > 1", house.name);
    server.sql("looked", &older);
    let (code, said) = look();
    assert!(code != 0 && said.contains("step 1 of"), "{said}");
    assert_eq!(server.sql("looked", "SELECT count(*) FROM schema"), "1", "no step was taken");
}
