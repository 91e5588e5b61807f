//! Live: what of a running house may change: its keys, its certificate, its partners' registrations.
//!
//! Comes in   files that people or `handover keys` changed; the word that they did.
//! Goes out   handles that everything else works with; what was taken up, and what was refused.
//! Never      takes up what is half-written or does not fit: what was there before stays in use, and
//!            the fault is told by `check`, the log and the figures until it is mended.

mod line;

pub use line::Line;

use crate::keys::{days, pair, place};
use crate::limits::RELOAD_LOOK;
use crate::{communities, config, doors};
use exchange::desk::CheckLine;
use exchange::partner::PublicFile;
use exchange::{Code, Digest, Issue, PartnerId};
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use wire::tls::LiveCertificate;
use wire::trust::udap::Community;
use wire::{Clock, Gate, KeyRing, Transport};

/// What of a running house may change.
pub struct Live {
    /// As it was read at the start.
    config: Arc<config::House>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    rings: Mutex<BTreeMap<PathBuf, KeyRing>>,
    gate: OnceLock<Arc<Gate>>,
    certificate: OnceLock<Arc<LiveCertificate>>,
    lines: Mutex<BTreeMap<PartnerId, Arc<Line>>>,
    /// The certificate that the lines present, digested with its key.
    presented: Mutex<Option<Digest>>,
    communities: Mutex<Option<Vec<Community>>>,
    /// Partners and agreements as the gate has them.
    agreed: Mutex<Arc<config::House>>,
    /// What the files held when they were last looked at.
    seen: Mutex<Option<Digest>>,
    /// What could not be taken up, by what it is.
    faults: Mutex<BTreeMap<&'static str, Issue>>,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// For a house as it was read.
    pub fn new(config: &Arc<config::House>, clock: &Arc<dyn Clock>) -> Live {
        Live {
            config: Arc::clone(config),
            clock: Arc::clone(clock),
            rings: Mutex::default(),
            gate: OnceLock::new(),
            certificate: OnceLock::new(),
            lines: Mutex::default(),
            presented: Mutex::default(),
            communities: Mutex::default(),
            agreed: Mutex::new(Arc::clone(config)),
            seen: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// The keys at a path of the configuration, by a handle that all who name the path share.
    ///
    /// Errors: `KeyUnusable`.
    pub fn ring(&self, path: &Path) -> Result<KeyRing, Issue> {
        let path = self.config.path(path);
        let mut rings = held(&self.rings);
        if let Some(ring) = rings.get(&path) {
            return Ok(ring.clone());
        }
        let ring = KeyRing::new(place::own_keys(&path)?);
        rings.insert(path, ring.clone());
        Ok(ring)
    }

    /// The line to a partner, to be laid anew when the partner's file changes: the one there is, else one
    /// over this transport. All doors of a partner share it.
    pub fn line(&self, partner: &PartnerId, transport: Arc<dyn Transport>) -> Arc<Line> {
        let mut lines = held(&self.lines);
        let line = lines.entry(partner.clone());
        Arc::clone(line.or_insert_with(|| Arc::new(Line::over(transport))))
    }

    /// The trust communities of the house, by handles that all who work with them share.
    ///
    /// Errors: `ConfigInvalid`, `KeyUnusable`.
    pub fn communities(&self) -> Result<Vec<Community>, Issue> {
        let mut communities = held(&self.communities);
        if let Some(known) = &*communities {
            return Ok(known.clone());
        }
        let read = communities::read(&self.config)?;
        Ok(communities.insert(read).clone())
    }

    /// The gate whose registrations and token secret follow the files; it publishes the house's keys.
    ///
    /// Errors: `KeyUnusable`.
    pub fn guard(&self, gate: Arc<Gate>) -> Result<(), Issue> {
        self.gate.set(gate).ok();
        self.tokens()?;
        self.register()
    }

    /// The certificate that follows its files.
    pub fn show(&self, certificate: Arc<LiveCertificate>) {
        self.certificate.set(certificate).ok();
    }

    /// Looks whether a file changed since the last time, and takes up what did.
    pub fn look(&self) {
        let print = self.print();
        let before = held(&self.seen).replace(print);
        if before.is_some_and(|before| before != print) {
            for line in self.take_up() {
                match &line.issue {
                    None => tracing::info!(what = line.what, found = line.found, "taken up"),
                    Some(issue) => {
                        tracing::error!(
                            what = line.what,
                            issue = issue.issue.detail,
                            "not taken up"
                        );
                    }
                }
            }
        }
    }

    /// Takes up all that changed, partners' files included, because somebody asked for it.
    pub fn reload(&self) -> Vec<CheckLine> {
        *held(&self.seen) = Some(self.print());
        let mut lines = self.partners();
        lines.extend(self.take_up());
        lines
    }

    /// What could not be taken up and waits for somebody to mend it.
    pub fn faults(&self) -> Vec<CheckLine> {
        let mut lines: Vec<CheckLine> = held(&self.faults)
            .iter()
            .map(|(what, issue)| {
                CheckLine::of(format!("running house: {what}"), Err(issue.clone()))
            })
            .collect();
        let troubles = self.gate.get().map(|gate| gate.key_troubles()).unwrap_or_default();
        lines.extend(troubles.into_iter().map(|(client, words)| {
            let detail = format!("its keys cannot be had at its jwks_url: {words}");
            let issue = Issue::new(Code::CredentialRefused, detail).at("jwks_url");
            CheckLine::of(format!("client {client}: keys"), Err(issue))
        }));
        lines
    }

    /// The figures of keys and certificates, in the text form that monitors read.
    pub fn figures(&self) -> String {
        let agreed = Arc::clone(&held(&self.agreed));
        let mut days = days::fewest(&days::all(&agreed, self.clock.now()));
        // What is shown counts, not what lies there and could not be taken up.
        let shown = self.certificate.get().and_then(|it| it.days_left(self.clock.now()).ok());
        if let Some(shown) = shown {
            days.insert("server", shown);
        }
        let mut text = String::from(
            "# HELP handover_certificate_days_left Days until the first certificate of its kind ends.\n\
             # TYPE handover_certificate_days_left gauge\n",
        );
        for (kind, left) in days {
            text.push_str(&format!("handover_certificate_days_left{{kind=\"{kind}\"}} {left}\n"));
        }
        text.push_str(
            "# HELP handover_reload_refused 1 while a changed file could not be taken up.\n\
             # TYPE handover_reload_refused gauge\n",
        );
        let faults = held(&self.faults);
        for what in [SIGNING, OPERATOR, TOKENS, CERTIFICATE, CLIENT, CLIENTS, COMMUNITIES, PARTNERS]
        {
            let refused = u8::from(faults.contains_key(what));
            text.push_str(&format!("handover_reload_refused{{what=\"{what}\"}} {refused}\n"));
        }
        text
    }

    /// Keys, the token secret and the certificate, each as far as it fits.
    fn take_up(&self) -> Vec<CheckLine> {
        let keys = &self.config.file.keys;
        let steps = [
            (SIGNING, self.renew_rings(|path| *path != self.config.path(&keys.operator))),
            (OPERATOR, self.renew_rings(|path| *path == self.config.path(&keys.operator))),
            (TOKENS, self.tokens().map(|()| "issued under the key that lies there".to_owned())),
            (CERTIFICATE, self.renew_certificate()),
            (CLIENT, self.renew_client()),
            (CLIENTS, self.renew_revoked()),
            (COMMUNITIES, self.renew_communities()),
        ];
        let mut lines: Vec<CheckLine> =
            steps.into_iter().map(|(what, step)| self.note(what, step)).collect();
        // What signs and whom the gate knows goes together, once both are read.
        if let Err(issue) = self.register() {
            lines.push(self.note(OPERATOR, Err(issue)));
        }
        lines
    }

    /// Remembers a fault until the same step succeeds.
    fn note(&self, what: &'static str, step: Result<String, Issue>) -> CheckLine {
        let mut faults = held(&self.faults);
        match &step {
            Ok(_) => drop(faults.remove(what)),
            Err(issue) => drop(faults.insert(what, issue.clone())),
        }
        CheckLine::of(what, step)
    }

    fn renew_rings(&self, ours: impl Fn(&PathBuf) -> bool) -> Result<String, Issue> {
        let mut changed = false;
        for (path, ring) in held(&self.rings).iter().filter(|(path, _)| ours(path)) {
            let keys = place::own_keys(path)?;
            changed |= keys.jwks() != ring.now().jwks();
            ring.replace(keys);
        }
        Ok(if changed { "taken up" } else { "as before" }.to_owned())
    }

    fn tokens(&self) -> Result<(), Issue> {
        let place = self.config.path(&self.config.file.keys.tokens);
        let (issues, others) = place::token_secrets(&place, self.clock.now())?;
        if let Some(gate) = self.gate.get() {
            gate.issue_under(&issues, &others);
        }
        Ok(())
    }

    fn renew_certificate(&self) -> Result<String, Issue> {
        let (Some(files), Some(shown)) = (&self.config.file.tls, self.certificate.get()) else {
            return Ok("none".to_owned());
        };
        let (chain, key) = pair::read(&self.config, &files.certificate, &files.key)?;
        let renewed = shown.replace(chain.as_bytes(), key.as_bytes())?;
        let words = if renewed { "new connections get the new one" } else { "as before" };
        Ok(words.to_owned())
    }

    /// Lays the lines to partners anew where they present another certificate.
    fn renew_client(&self) -> Result<String, Issue> {
        let Some(identity) = doors::identity(&self.config)? else { return Ok("none".to_owned()) };
        let print = Digest::of(&identity);
        if *held(&self.presented) == Some(print) {
            return Ok("as before".to_owned());
        }
        let partners = Arc::clone(&held(&self.agreed));
        for (name, line) in held(&self.lines).iter() {
            if let Some(public) = partners.partners.get(name) {
                line.lay(doors::partner_transport(&self.config, public)?);
            }
        }
        *held(&self.presented) = Some(print);
        Ok("new connections to partners present it".to_owned())
    }

    /// Partners' certificates, by the lists of those that are revoked.
    fn renew_revoked(&self) -> Result<String, Issue> {
        let Some(gate) = self.gate.get() else { return Ok("none".to_owned()) };
        gate.know_certificates(doors::certificates(&self.config)?);
        Ok("known by the lists of revoked ones as they are now".to_owned())
    }

    fn renew_communities(&self) -> Result<String, Issue> {
        let known = held(&self.communities).clone().unwrap_or_default();
        if known.is_empty() {
            return Ok("none".to_owned());
        }
        communities::renew(&self.config, &known)?;
        Ok("anchors, lists and certificates are those of their files".to_owned())
    }

    /// Gives the gate those who may come in now, and what the house publishes.
    fn register(&self) -> Result<(), Issue> {
        let Some(gate) = self.gate.get() else { return Ok(()) };
        let operator = self.ring(&self.config.file.keys.operator)?.now().jwks();
        let agreed = Arc::clone(&held(&self.agreed));
        gate.register(doors::credentials(&agreed, operator));
        gate.publish(self.published()?);
        // Whoever keeps it elsewhere introduces the house to nobody.
        if let Ok(public) = fs::read_to_string(self.config.folder.join("public.json")) {
            gate.introduce(public);
        }
        Ok(())
    }

    /// The public keys with which this house signs in anywhere.
    fn published(&self) -> Result<Value, Issue> {
        let source = self.config.file.source.iter().filter_map(|source| source.key.as_ref());
        let mut keys: Vec<Value> = Vec::new();
        for path in std::iter::once(&self.config.file.keys.signing).chain(source) {
            let jwks = self.ring(path)?.now().jwks();
            for key in jwks["keys"].as_array().into_iter().flatten() {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
        }
        Ok(json!({ "keys": keys }))
    }

    /// Partners' files: their keys and scopes count from now on, and their authority. What else of
    /// them changed counts when the house is started anew, and is said.
    fn partners(&self) -> Vec<CheckLine> {
        let read = match config::House::read(&self.config.folder) {
            Ok(read) => read,
            Err(issue) => return vec![self.note(PARTNERS, Err(issue))],
        };
        let mut lines = Vec::new();
        let mut agreed = read.clone();
        agreed.partners.retain(|name, _| self.config.partners.contains_key(name));
        for (name, public) in &read.partners {
            let what = format!("partner {name}");
            let found = match self.config.partners.get(name) {
                None => Ok("new: counts when the house is started anew".to_owned()),
                Some(before) => self.lay(name, before, public).map(|()| {
                    let terms = read.terms.get(name) == self.config.terms.get(name);
                    words_of(before, public, terms)
                }),
            };
            lines.push(CheckLine::of(what, found));
        }
        let gone = self.config.partners.keys().filter(|name| !read.partners.contains_key(name));
        lines.extend(gone.map(|name| {
            let words = "its file is gone: it gets in no more; pushes to it end with a new start";
            CheckLine::of(format!("partner {name}"), Ok(words.to_owned()))
        }));
        *held(&self.agreed) = Arc::new(agreed);
        held(&self.faults).remove(PARTNERS);
        lines
    }

    /// Lays the line to a partner anew, where its authority is another.
    fn lay(&self, name: &PartnerId, before: &PublicFile, public: &PublicFile) -> Result<(), Issue> {
        let last = held(&self.agreed).partners.get(name).map(|public| public.authority.clone());
        if last.as_ref().unwrap_or(&before.authority) == &public.authority {
            return Ok(());
        }
        let line = held(&self.lines).get(name).cloned();
        if let Some(line) = line {
            line.lay(doors::partner_transport(&self.config, public)?);
        }
        Ok(())
    }

    /// What the files hold, digested. Old token keys whose time is over count as gone.
    fn print(&self) -> Digest {
        let file = &self.config.file;
        let source = file.source.iter().filter_map(|source| source.key.as_ref());
        let files = pair::all(&self.config);
        let tls = files.iter().flat_map(|files| [&files.certificate, &files.key]);
        let communities = file.udap.iter().flat_map(|udap| &udap.community);
        let others = communities.flat_map(|it| std::iter::once(&it.anchors).chain(&it.revoked));
        let named = [&file.keys.signing, &file.keys.operator, &file.keys.tokens].into_iter();
        let lists = file.tls.iter().flat_map(|tls| &tls.client_crls);
        let named = named.chain(others).chain(lists);
        let mut pieces: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for path in named.chain(source).chain(tls) {
            let stages = place::stages(&self.config.path(path));
            let all = [stages.now, stages.next].into_iter().chain(stages.old);
            for path in all {
                pieces.push(Zeroizing::new(path.as_os_str().as_encoded_bytes().to_vec()));
                pieces.push(Zeroizing::new(fs::read(path).unwrap_or_default()));
            }
        }
        let place = self.config.path(&file.keys.tokens);
        let read = place::token_secrets(&place, self.clock.now());
        let living = read.map_or(0, |(_, others)| others.len());
        pieces.push(Zeroizing::new(living.to_be_bytes().to_vec()));
        Digest::of_pieces(pieces.iter().map(|piece| piece.as_slice()))
    }
}

const SIGNING: &str = "signing keys";
const OPERATOR: &str = "operator's key";
const TOKENS: &str = "key of access tokens";
const CERTIFICATE: &str = "certificate";
const CLIENT: &str = "client certificate";
const CLIENTS: &str = "partners' certificates";
const COMMUNITIES: &str = "communities";
const PARTNERS: &str = "partners and agreements";

impl wire::Figures for Live {
    fn text(&self) -> String {
        self.figures()
    }
}

/// What of a partner counts now, and what only after a new start.
fn words_of(before: &PublicFile, public: &PublicFile, same_terms: bool) -> String {
    let mut later = Vec::new();
    let fixed = |file: &PublicFile| {
        let mut file = file.clone();
        // These count at once.
        file.jwks = Value::Null;
        file.authority = String::new();
        file
    };
    if fixed(before) != fixed(public) {
        later.push("its public file, but for keys and authority");
    }
    if !same_terms {
        later.push("its agreement, but for what it may ask for at this house's door");
    }
    match later.is_empty() {
        true => "keys, authority and scopes are those of its file".to_owned(),
        false => {
            format!("changed, and counts when the house is started anew: {}", later.join("; "))
        }
    }
}

/// Looks at the files again and again while the house runs.
pub async fn keep_looking(live: Arc<Live>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    loop {
        let looked = Arc::clone(&live);
        tokio::task::spawn_blocking(move || looked.look()).await.ok();
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(RELOAD_LOOK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what changed is taken up by a look, whole or not at all, and a fault is told until mended.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::init::{NewHouse, init};
    use exchange::partner::Role;
    use jiff::Timestamp;
    use wire::SigningKey;
    use wire::pki::make::{self, Made};

    struct Today;

    impl Clock for Today {
        fn now(&self) -> Timestamp {
            Timestamp::now()
        }
    }

    fn now() -> Timestamp {
        Timestamp::now()
    }

    /// A certificate of a new community for this base URL, with its files in the house.
    fn join(folder: &Path, authority: &Made, base_url: &str) {
        let own = make::application(authority, "plan", &[base_url.to_owned()], now()).unwrap();
        fs::write(folder.join("tls/town.pem"), &authority.certificate).unwrap();
        fs::write(folder.join("tls/town-own.pem"), &own.certificate).unwrap();
        place::replace(&folder.join("keys/town.pem"), &own.key).unwrap();
    }

    #[test]
    fn a_community_is_what_its_files_hold_and_never_half_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let base_url = house(folder.path()).config.file.base_url.clone();
        let town = make::community("town", now()).unwrap();
        join(folder.path(), &town, &base_url);
        let text = fs::read_to_string(folder.path().join("house.toml")).unwrap();
        let table = "[udap]\norganization_id = \"https://plan.example\"\n\
                     contacts = [\"mailto:it@plan.example\"]\n[[udap.community]]\nuri = \"urn:town\"\n\
                     anchors = \"tls/town.pem\"\ncertificate = \"tls/town-own.pem\"\n\
                     key = \"keys/town.pem\"\n";
        fs::write(folder.path().join("house.toml"), format!("{text}\n{table}")).unwrap();
        let config = Arc::new(config::House::read(folder.path()).unwrap());
        let live = Live::new(&config, &(Arc::new(Today) as Arc<dyn Clock>));
        let community = live.communities().unwrap().remove(0);
        let shown = || community.identity().chain().leaf().to_vec();
        let first = shown();
        live.look();

        join(folder.path(), &town, "https://other.example/fhir");
        live.look();
        assert_eq!(shown(), first, "another house's certificate is not taken up");
        let told: Vec<String> = live.faults().into_iter().map(|line| line.what).collect();
        assert_eq!(told, ["running house: communities"]);
        let before = fs::read(folder.path().join("keys/town.pem")).unwrap();
        join(folder.path(), &town, &base_url);
        let after = fs::read(folder.path().join("keys/town.pem")).unwrap();
        fs::write(folder.path().join("keys/town.pem"), &before).unwrap();
        live.look();
        assert_eq!(shown(), first, "a certificate without its key is not taken up");

        fs::write(folder.path().join("keys/town.pem"), &after).unwrap();
        live.look();
        assert_ne!(shown(), first, "everybody with the handle signs in it");
        assert!(live.faults().is_empty());
        assert!(live.figures().contains("days_left{kind=\"udap\"} 39"));
    }

    fn house(folder: &Path) -> Live {
        let new = NewHouse {
            role: Role::Payer,
            name: "plan".to_owned(),
            title: "Plan".to_owned(),
            listen: "127.0.0.1:9443".parse().unwrap(),
            hosts: vec!["127.0.0.1".to_owned()],
            namespace: None,
            payer_identifiers: Vec::new(),
            source: None,
        };
        init(folder, &new).unwrap();
        let config = Arc::new(config::House::read(folder).unwrap());
        let live = Live::new(&config, &(Arc::new(Today) as Arc<dyn Clock>));
        live.show(pair::live(&config).unwrap().unwrap());
        live
    }

    #[test]
    fn a_look_takes_up_what_changed_and_nothing_that_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let live = house(folder.path());
        let place = folder.path().join("keys/signing.pem");
        let ring = live.ring(Path::new("keys/signing.pem")).unwrap();
        let first = ring.now().signs().kid().to_owned();
        live.look();
        let next = SigningKey::generate().unwrap();
        fs::write(&place, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        live.look();
        assert_eq!(ring.now().signs().kid(), first, "half a key is not taken up");
        let told: Vec<String> = live.faults().into_iter().map(|line| line.what).collect();
        assert_eq!(told, ["running house: signing keys"]);
        assert!(live.figures().contains("refused{what=\"signing keys\"} 1"));

        place::replace(&place, &next.secret_pem()).unwrap();
        live.look();
        assert_eq!(ring.now().signs().kid(), next.kid(), "everybody with the handle signs by it");
        assert!(live.faults().is_empty());
        fs::write(folder.path().join("tls/server.pem"), "").unwrap();
        live.look();
        live.look();
        let told: Vec<String> = live.faults().into_iter().map(|line| line.what).collect();
        assert_eq!(told, ["running house: certificate"], "a fault stays until it is mended");
        assert!(live.figures().contains("days_left{kind=\"server\"} 39"), "what is shown counts");
    }
}
