//! Goal: every fault of a configuration is told with file, line and suggestion, and every command
//! that cannot be carried out says who acts; nothing is overwritten by a second `init`.

#![allow(clippy::unwrap_used)]

use crate::common::{House, free_address};
use exchange::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A provider and a payer who know each other, in a folder of their own; neither runs.
fn houses(folder: &Path) -> (House, House) {
    let source = format!("https://{}/fhir", free_address());
    let provider = House::provider(&folder.join("mercy"), &source);
    let plan = sim::Town::generate(1, &sim::TownPlan::default()).plans.remove(0);
    let payer = House::payer(&folder.join("sunrise"), &plan);
    provider.add_partner(&payer);
    payer.add_partner(&provider);
    fs::write(provider.folder.join("tls/ehr-authority.pem"), provider.public().authority).unwrap();
    (provider, payer)
}

/// One mistake in a file of the sending house, and the words that must be in the answer.
struct Mistake {
    case: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    told: &'static [&'static str],
}

const MISTAKES: [Mistake; 9] = [
    Mistake {
        case: "a payer may ask for everybody who is watched, and nobody is",
        file: "agreements/sunrise.toml",
        from: "\n# [bulk]\n",
        to: "\n[bulk]\npull = true\n",
        told: &["config-invalid", "agreements/sunrise.toml: bulk.pull", "[watch]"],
    },
    Mistake {
        case: "a key of the configuration is mistyped",
        file: "house.toml",
        from: "\nlisten = ",
        to: "\nlisen = ",
        told: &[
            "config-invalid",
            "place: house.toml",
            "line ",
            "unknown key `lisen`",
            "did you mean `listen`?",
        ],
    },
    Mistake {
        case: "a key below a heading is mistyped",
        file: "house.toml",
        from: "\nsigning = ",
        to: "\nsinging = ",
        told: &[
            "config-invalid",
            "place: house.toml",
            "line ",
            "`singing`",
            "did you mean `signing`?",
        ],
    },
    Mistake {
        case: "a key is missing",
        file: "house.toml",
        from: "\nnamespace = ",
        to: "\n# namespace = ",
        told: &["config-invalid", "`namespace`", "missing"],
    },
    Mistake {
        case: "the base URL does not fit TLS",
        file: "house.toml",
        from: "\nbase_url = \"https://",
        to: "\nbase_url = \"http://",
        told: &["config-invalid", "base_url", "https://"],
    },
    Mistake {
        case: "a key of an agreement is mistyped",
        file: "agreements/sunrise.toml",
        from: "\nsettled_by = ",
        to: "\nsetled_by = ",
        told: &["config-invalid", "sunrise.toml", "line ", "did you mean `settled_by`?"],
    },
    Mistake {
        case: "an agreement names nobody",
        file: "agreements/sunrise.toml",
        from: "partner = \"sunrise\"",
        to: "partner = \"sunset\"",
        told: &["partner-unknown", "sunrise.toml: partner", "handover partner add"],
    },
    Mistake {
        case: "files by type for a house, which files by the pushes' numbers",
        file: "agreements/sunrise.toml",
        from: "\n# [bulk]\n",
        to: "\n[bulk]\norganized_by = \"type\"\n",
        told: &["config-invalid", "sunrise.toml: bulk.organized_by", "take the line out"],
    },
    Mistake {
        case: "a public file is not JSON",
        file: "partners/sunrise.json",
        from: "\"name\":",
        to: "\"name\"",
        told: &["config-invalid", "sunrise.json, line 2"],
    },
];

#[test]
fn a_mistake_in_a_file_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, _) = houses(folder.path());
    for Mistake { case, file, from, to, told } in MISTAKES {
        let before = provider.read(file);
        provider.replace(file, from, to);
        // What needs no agreement is carried out all the same: a patient's wish above all.
        let first = if file == "house.toml" { &["list"][..] } else { &["push", "encounter", "e1"] };
        for command in [first, &["serve"], &["check"]] {
            let said = provider.run(command);
            assert_eq!(said.code, 2, "{case}: {command:?} {}", said.stderr);
            let words = said.stdout + &said.stderr;
            for word in told {
                assert!(words.contains(word), "{case}: {command:?} lacks {word:?}: {words}");
            }
            assert!(words.contains("who acts: "), "{case}: {words}");
            assert!(words.contains("next: "), "{case}: {words}");
        }
        provider.write(file, &before);
    }
    assert_eq!(provider.run(&["list"]).code, 0, "all mistakes were mended");
}

/// Neither a typo in one agreement nor a missing certificate keeps a patient's wish, or a look at what was
/// pushed, waiting: whether the house runs or not.
#[test]
fn what_needs_no_agreement_is_carried_out_beside_a_faulty_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut provider, _) = houses(folder.path());
    let wish = ["restriction", "add", "Patient/p1", "--reason", "self-pay", "--payer", "sunrise"];
    let works = |provider: &House, case: &str, number: usize| {
        let copy = folder.path().join(format!("copy-{number}")).display().to_string();
        let add: Vec<&str> = wish.iter().copied().chain(["--why", case]).collect();
        let remove = ["restriction", "remove", "Patient/p1", "--why", "again"];
        let table: [&[&str]; 5] =
            [&add, &["list"], &["ledger", "verify"], &remove, &["backup", &copy]];
        for command in table {
            let said = provider.run(command);
            assert_eq!(said.code, 0, "{case}: {command:?} {}{}", said.stdout, said.stderr);
        }
        let said = provider.run(&["withdraw", "none", "--why", "wrong"]);
        said.stdout + &said.stderr
    };
    let agreement = provider.read("agreements/sunrise.toml");
    provider.serve();
    provider.write("agreements/sunrise.toml", &format!("x = 1\n{agreement}"));
    let said = works(&provider, "a typo while the house runs", 1);
    assert!(said.contains("push-unknown"), "the running house is asked: {said}");
    provider.stop();
    let said = works(&provider, "a typo", 2);
    assert!(said.contains("sunrise.toml"), "nobody is there to ask: {said}");
    provider.write("agreements/sunrise.toml", &agreement);
    fs::remove_file(provider.folder.join("tls/ehr-authority.pem")).unwrap();
    let said = works(&provider, "the EHR's authority is missing", 3);
    assert!(said.contains("ehr-authority.pem"), "{said}");
}

#[test]
fn a_partner_with_the_identity_of_another_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, payer) = houses(folder.path());
    let (known, own) = (payer.public(), provider.public());
    let rewritten = |member: &str, value: &str| {
        let mut public = serde_json::to_value(&known).unwrap();
        public["name"] = "newcomer".into();
        public["client_id"] = "newcomer".into();
        public["namespace"] = "https://newcomer.example/fhir".into();
        public["jwks"] = serde_json::json!({ "keys": [] });
        if member != "client_certificate" {
            public.as_object_mut().unwrap().remove("client_certificate");
        }
        match member {
            "jwks" => public["jwks"] = known.jwks.clone(),
            "client_certificate" => {}
            _ => public[member] = value.into(),
        }
        public.to_string()
    };
    let table = [
        ("client_id", known.client_id.as_str(), "sunrise.json"),
        ("client_id", "operator", "house.toml"),
        ("namespace", &known.namespace, "sunrise.json"),
        ("namespace", &own.namespace, "house.toml"),
        ("namespace", "", "absolute URI"),
        ("name", "mercy", "house.toml"),
        ("jwks", "", "sunrise.json"),
        ("client_certificate", "", "sunrise.json"),
    ];
    let file = folder.path().join("newcomer.json");
    for (member, value, told) in table {
        fs::write(&file, rewritten(member, value)).unwrap();
        let said = provider.run(&["partner", "add", file.to_str().unwrap()]);
        assert_eq!(said.code, 2, "{member} {value}: {}", said.stdout);
        let added = |name: &str| provider.folder.join(name).exists();
        assert!(!added("partners/newcomer.json") && !added("agreements/newcomer.toml"));
        let place = "partners/newcomer.json";
        provider.write(place, &rewritten(member, value));
        let push = ["push", "encounter", "e1"];
        let at_start = [&["serve"][..], &["check"], &push].map(|words| provider.run(words));
        for said in [said].into_iter().chain(at_start) {
            assert_eq!(said.code, 2, "{member} {value}: {}", said.stdout);
            let words = said.stdout + &said.stderr;
            for word in ["config-invalid", "newcomer.json", told] {
                assert!(words.contains(word), "{member} {value} lacks {word}: {words}");
            }
        }
        fs::remove_file(provider.folder.join(place)).unwrap();
    }
    fs::write(&file, rewritten("title", "Newcomer")).unwrap();
    assert_eq!(provider.run(&["partner", "add", file.to_str().unwrap()]).code, 0);
}

/// `[blobs]` as it is written, and the words of the answer.
const PLACES: [(&str, &str); 9] = [
    ("[blobs]", "either a folder or [blobs.s3]"),
    ("[blobs]\nfolder = \"a\"\n[blobs.s3]\nregion = \"r\"\nbucket = \"b\"", "not both"),
    ("[blobs]\nfoldr = \"a\"", "did you mean `folder`?"),
    ("[blobs.s3]\nregion = \"r\"\nbucket = \"b\"", "access key is not there"),
    ("[blobs.s3]\nregion = \"r\"\nbucket = \"b\"\ncredentials = \"none.ini\"", "none.ini"),
    ("[blobs.s3]\nregion = \"r\"\nbucket = \"b\"\ncredentials = \"half.ini\"", "half.ini"),
    ("[blobs.s3]\nregion = \"r\"\nbucket = \"b\"\nsecret = \"s\"", "unknown key `secret`"),
    (
        "[blobs.s3]\nendpoint = \"http://storage.example.org\"\nregion = \"r\"\nbucket = \"b\"
            credentials = \"key.ini\"",
        "https://",
    ),
    (
        "[blobs.s3]\nregion = \"r\"\nbucket = \"b\"\ncredentials = \"key.ini\"
            authority = \"public.json\"",
        "authority (PEM)",
    ),
];

#[test]
fn a_place_of_contents_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, _) = houses(folder.path());
    let whole = provider.read("house.toml");
    let key = "[default]\naws_access_key_id = id\naws_secret_access_key = do-not-tell\n";
    provider.write("key.ini", key);
    provider.write("half.ini", "aws_access_key_id = id\n");
    let open_to = |file: &str, mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(provider.folder.join(file), mode).unwrap();
    };
    open_to("key.ini", 0o600);
    open_to("half.ini", 0o600);
    for (blobs, told) in PLACES {
        provider.write("house.toml", &format!("{whole}\n{blobs}\n"));
        for command in ["list", "check"] {
            let said = provider.run(&[command]);
            assert_eq!(said.code, 2, "{blobs}: {command}: {}{}", said.stdout, said.stderr);
            let words = said.stdout + &said.stderr;
            assert!(words.contains(told), "{blobs}: {command} lacks {told:?}: {words}");
            assert!(words.contains("config-invalid"), "{blobs}: {words}");
            assert!(!words.contains("do-not-tell"), "{blobs}: {words}");
        }
    }
    open_to("key.ini", 0o644);
    let storage = "[blobs.s3]\nendpoint = \"http://127.0.0.1:9\"\nregion = \"r\"\nbucket = \"b\"";
    let storage = format!("{whole}\n{storage}\ncredentials = \"key.ini\"\n");
    provider.write("house.toml", &storage);
    let open = provider.run(&["check"]);
    assert!(open.stdout.contains("key-unusable"), "every user can read it: {}", open.stdout);
    open_to("key.ini", 0o600);
    let away = provider.run(&["check"]);
    assert!(away.stdout.contains("store-unavailable"), "nobody is there: {}", away.stdout);
    provider.write("house.toml", &format!("{whole}\n[blobs]\nfolder = \"contents\"\n"));
    let mended = provider.run(&["list"]);
    assert_eq!(mended.code, 0, "{}", mended.stderr);
}

#[test]
fn the_line_of_a_mistake_is_the_line_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, _) = houses(folder.path());
    let text = provider.read("house.toml");
    let line = text.lines().position(|line| line.starts_with("store = ")).unwrap() + 1;
    provider.replace("house.toml", "\nstore = ", "\nstor = ");
    let said = provider.run(&["list"]);
    assert!(said.stderr.contains(&format!("line {line}:")), "{}", said.stderr);
}

#[test]
fn commands_that_cannot_be_carried_out_say_who_acts() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, payer) = houses(folder.path());
    let public = payer.folder.join("public.json");
    let own = provider.folder.join("public.json");
    let table: [(&str, &House, &[&str], &str); 8] = [
        ("nothing to show", &provider, &["show", "ffff"], "push-unknown"),
        ("nothing to release", &payer, &["release", "ffff", "--why", "x"], "push-unknown"),
        ("a payer pushes", &payer, &["push", "encounter", "e1"], "command-invalid"),
        ("a payer explains", &payer, &["explain", "encounter", "e1"], "command-invalid"),
        ("no id at all", &provider, &["push", "encounter", "a b"], "command-invalid"),
        (
            "a partner twice",
            &provider,
            &["partner", "add", public.to_str().unwrap()],
            "config-invalid",
        ),
        ("oneself", &provider, &["partner", "add", own.to_str().unwrap()], "config-invalid"),
        ("a token of a house that rests", &payer, &["token"], "sign-in-required"),
    ];
    for (case, house, words, code) in table {
        let said = house.run(words);
        assert_eq!(said.code, 2, "{case}: {}{}", said.stdout, said.stderr);
        assert!(said.stderr.starts_with(&format!("{code}: ")), "{case}: {}", said.stderr);
        assert!(said.stderr.contains("who acts: "), "{case}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{case}: a failure is no result");
        let (exit, value) = house.json(words);
        assert_eq!(exit, 2, "{case}");
        assert_eq!(value["issue"]["code"], code, "{case}: {value}");
        assert!(value["issue"]["next"].is_string(), "{case}: {value}");
    }
}

/// The case, URL, key, what else is said; the code, and words of the answer.
type Fetched<'c> = (&'c str, &'c str, &'c str, &'c [&'c str], &'c str, &'c str);

/// Whoever fetches an export may be new to all of this: each fault says what is to be mended, and nothing of
/// it says that somebody else will try again.
#[test]
fn an_export_that_cannot_be_fetched_says_what_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut payer) = houses(folder.path());
    payer.serve();
    let base = payer.public().base_url;
    let nobody = format!("https://{}/fhir", free_address());
    let path = |name: &str| payer.folder.join(name).display().to_string();
    let (key, authority) = (path("keys/signing.pem"), path("tls/authority.pem"));
    let (none, out) = (path("none.pem"), path("out"));
    let trusting = ["--authority", authority.as_str()];
    let table: [Fetched<'_>; 8] = [
        ("no URL", "plan", &key, &[], "command-invalid", "URL"),
        ("a user in it", "https://me@plan.example/fhir", &key, &[], "command-invalid", "URL"),
        ("no origin", &base, &key, &["--files-at", "files"], "command-invalid", "--files-at"),
        ("no key", &base, &none, &trusting, "key-unusable", "none.pem"),
        ("no authority in it", &base, &key, &["--authority", &none], "config-invalid", "none.pem"),
        ("an unknown authority", &base, &key, &[], "server-untrusted", "--authority"),
        ("nobody there", &nobody, &key, &trusting, "server-unreachable", "run the same command"),
        ("an unknown client", &base, &key, &trusting, "server-refused", "client id"),
    ];
    for (case, url, key, more, code, words) in table {
        let fixed = ["export", url, "--out", &out, "--client-id", "nobody", "--key", key];
        let said = payer.run_anywhere(&[&fixed[..], more].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{case}: {}", said.stderr);
        let told = said.stderr.lines().find(|line| line.starts_with(code));
        assert!(told.is_some() && said.stderr.contains(words), "{case}: {}", said.stderr);
        assert!(!said.stderr.contains("is scheduled"), "{case}: {}", said.stderr);
    }
    payer.stop();
}

#[test]
fn a_house_does_not_open_where_it_would_be_unsafe() {
    let folder = tempfile::tempdir().unwrap();
    let alone = House::provider(&folder.path().join("alone"), "https://127.0.0.1:9/fhir");
    let listen = alone.config().file.listen;
    alone.replace("house.toml", &format!("listen = \"{listen}\""), "listen = \"0.0.0.0:0\"");
    let said = alone.run(&["serve"]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.starts_with("bind-refused: "), "{}", said.stderr);

    let (provider, _) = houses(folder.path());
    let key = provider.folder.join("keys/signing.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    for command in ["serve", "list"] {
        let said = provider.run(&[command]);
        assert_eq!(said.code, 2, "{command}");
        assert!(said.stderr.starts_with("key-unusable: "), "{command}: {}", said.stderr);
    }
}

#[test]
fn check_names_every_fault_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, payer) = houses(folder.path());
    // Nobody runs: neither the EHR nor the payer's door answers. The house itself could run.
    let said = provider.run(&["check"]);
    assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
    for word in ["payer-unreachable", "source-unreachable", "WAITS", "would stop a push"] {
        assert!(said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    provider.replace("house.toml", "[\"127.0.0.0/8\", \"::1\"]", "[]");
    let said = provider.run(&["check"]);
    assert!(said.stdout.contains("leads to a private network"), "{}", said.stdout);
    assert!(!said.stdout.contains("payer-unreachable"), "nobody knocks: {}", said.stdout);
    payer.write("members.csv", "member_id,family,given,birth_date,gender\n");
    let said = payer.run(&["check"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.contains("names nobody"), "{}", said.stdout);
    fs::remove_file(payer.folder.join("keys/ledger.pem")).unwrap();
    let said = payer.run(&["check"]);
    assert_eq!(said.code, 2, "a house without its ledger's key cannot run: {}", said.stdout);
}

/// Proves: smart 305
#[test]
fn a_partners_keys_are_read_whole_from_a_file_that_not_everybody_may_write() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, payer) = houses(folder.path());
    let name = format!("partners/{}.json", payer.name);
    let file = provider.folder.join(&name);
    let whole = provider.read(&name);
    let refused = |told: &str| {
        let said = provider.run(&["check"]);
        assert_eq!(said.code, 2, "{}", said.stdout);
        assert!(
            said.stdout.contains("config-invalid") && said.stdout.contains(told),
            "{told}: {}",
            said.stdout
        );
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    refused("chmod o-w");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    provider.write(&name, &whole[..whole.len() / 2]);
    refused(&name);
    provider.write(&name, &whole);
    assert_eq!(provider.run(&["check"]).code, 1, "nobody answers, and nothing else is wrong");
}

#[test]
fn a_second_init_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mercy");
    let house = House::provider(&place, "https://127.0.0.1:9/fhir");
    let before = digests(&place);
    let said = house.run_anywhere(&["init", "provider", place.to_str().unwrap()]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("holds a house already"), "{}", said.stderr);
    let said = house.run_anywhere(&["init", "payer", place.to_str().unwrap()]);
    assert_eq!(said.code, 2, "not as another role either");
    assert_eq!(digests(&place), before, "no file was touched");
}

#[test]
fn secrets_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mercy");
    House::provider(&place, "https://127.0.0.1:9/fhir");
    let secrets = ["keys", "tls/server-key.pem", "tls/client-key.pem", "tls/authority-key.pem"];
    let public = fs::read_to_string(place.join("public.json")).unwrap();
    assert!(!public.contains("PRIVATE"), "a private key stands in the public file");
    for file in digests(&place).keys() {
        let relative = file.strip_prefix(&place).unwrap().to_str().unwrap();
        if secrets.iter().any(|secret| relative.starts_with(secret)) {
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{relative}");
        }
    }
}

#[test]
fn init_needs_a_name_by_which_partners_reach_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mercy");
    let place = place.to_str().unwrap();
    let house = House::provider(&folder.path().join("other"), "https://127.0.0.1:9/fhir");
    let words = ["init", "provider", place, "--listen", "0.0.0.0:8443"];
    let said = house.run_anywhere(&words);
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("--host"), "{}", said.stderr);
    let named = [&words[..], &["--host", "gateway.mercy.example"]].concat();
    let said = house.run_anywhere(&named);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let text = fs::read_to_string(Path::new(place).join("house.toml")).unwrap();
    assert!(text.contains("base_url = \"https://gateway.mercy.example:8443/fhir\""), "{text}");
}

/// Every file of a folder with its digest.
fn digests(folder: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(digests(&path));
        } else {
            found.insert(path.clone(), Digest::of(&fs::read(&path).unwrap()));
        }
    }
    found
}
