//! Certificates: a community vouches for its own, in their time, by their names, and for nobody else.

use crate::village::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use rcgen::{BasicConstraints, CertificateParams, GeneralSubtree, IsCa, Issuer, KeyPair};
use rcgen::{KeyUsagePurpose, NameConstraints, SanType};
use wire::pki::make::{self, Made};
use wire::pki::{Chain, Distrust, Revocation, Trust};

fn chain(made: &Made) -> Chain {
    Chain::from_pem(made.certificate.as_bytes()).unwrap()
}

#[test]
fn a_chain_is_vouched_for_in_its_time_by_its_own_community() {
    let papers = &*PAPERS;
    let town = trust(&papers.town);
    let day = |days: i64| {
        let then = now().to_zoned(TimeZone::UTC).checked_add(days.days()).unwrap();
        then.timestamp()
    };
    let leaf = town.verify(&chain(&papers.client), now()).unwrap();
    assert_eq!((leaf.uris, leaf.revocation), (vec![CLIENT.to_owned()], Revocation::Known));
    let lax = Trust::read(papers.town.certificate.as_bytes(), &[], false).unwrap();
    let table = [
        (
            "another community's",
            town.verify(&chain(&papers.client_county), now()),
            Distrust::Unknown,
        ),
        ("revoked", town.verify(&chain(&papers.revoked), now()), Distrust::Revoked),
        ("a list out of date", town.verify(&chain(&papers.client), day(40)), Distrust::StaleList),
        ("expired", lax.verify(&chain(&papers.client), day(500)), Distrust::Expired),
        ("not valid yet", lax.verify(&chain(&papers.client), day(-5)), Distrust::NotYet),
        ("an authority as a leaf", lax.verify(&chain(&papers.town), now()), Distrust::WrongUse),
    ];
    for (case, found, distrust) in table {
        assert_eq!(found.unwrap_err(), distrust, "{case}");
    }
    let strict = Trust::read(papers.town.certificate.as_bytes(), &[], true).unwrap();
    assert_eq!(strict.verify(&chain(&papers.client), now()).unwrap_err(), Distrust::NoList);
    let unknown = lax.verify(&chain(&papers.client), now()).unwrap();
    assert_eq!(unknown.revocation, Revocation::NoList, "and that is stated");
}

/// An authority between, which may vouch for these names only.
fn between(root: &Made, constraints: Option<NameConstraints>) -> Made {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints = constraints;
    let root_key = KeyPair::from_pem(&root.key).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&root.certificate, root_key).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Made { certificate: certificate.pem(), key: key.serialize_pem() }
}

pub(crate) fn leaf_of(authority: &Made, names: &[SanType]) -> Made {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.is_ca = IsCa::ExplicitNoCa;
    let issuer_key = KeyPair::from_pem(&authority.key).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, issuer_key).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Made { certificate: certificate.pem(), key: key.serialize_pem() }
}

#[test]
fn what_stands_between_must_be_there_and_keep_to_its_names() {
    let papers = &*PAPERS;
    let lax = Trust::read(papers.town.certificate.as_bytes(), &[], false).unwrap();
    let uri = [SanType::URI(CLIENT.try_into().unwrap())];
    let free = between(&papers.town, None);
    let leaf = leaf_of(&free, &uri);
    let whole = format!("{}{}", leaf.certificate, free.certificate);
    assert!(lax.verify(&Chain::from_pem(whole.as_bytes()).unwrap(), now()).is_ok());
    assert_eq!(lax.verify(&chain(&leaf), now()).unwrap_err(), Distrust::Unknown, "one is missing");
    // A leaf is no authority, whatever it signs.
    let forged = leaf_of(&leaf, &uri);
    let whole = format!("{}{}{}", forged.certificate, leaf.certificate, free.certificate);
    let forged = Chain::from_pem(whole.as_bytes()).unwrap();
    assert_eq!(lax.verify(&forged, now()).unwrap_err(), Distrust::Unknown);

    let names = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let only = NameConstraints {
        permitted_subtrees: vec![names("clinic.example")],
        excluded_subtrees: vec![],
    };
    let bound = between(&papers.town, Some(only));
    for (host, good) in [("clinic.example", true), ("else.example", false)] {
        let names = [uri[0].clone(), SanType::DnsName(host.try_into().unwrap())];
        let leaf = leaf_of(&bound, &names);
        let whole = format!("{}{}", leaf.certificate, bound.certificate);
        let found = lax.verify(&Chain::from_pem(whole.as_bytes()).unwrap(), now());
        let wanted = if good { None } else { Some(Distrust::Constrained) };
        assert_eq!(found.err(), wanted, "{host}");
    }
}

#[test]
fn an_x5c_header_is_bounded() {
    let own = x5c(&PAPERS.client);
    assert!(Chain::from_x5c(&own).is_some());
    let large = STANDARD.encode(vec![0; 9_000]);
    for bad in [vec![], vec![own[0].clone(); 7], vec!["%".into()], vec![large]] {
        assert!(Chain::from_x5c(&bad).is_none());
    }
    // The key must be the leaf's.
    let (client, other) = (&PAPERS.client, &PAPERS.other);
    let mixed =
        wire::trust::udap::Identity::from_pem(client.certificate.as_bytes(), other.key.as_bytes());
    assert!(mixed.is_err());
    assert!(
        make::application(&PAPERS.town, "x", &["https://\u{e4}.example".into()], now()).is_err()
    );
}

#[test]
fn a_request_is_given_its_uris_and_nothing_else_that_it_asks_for() {
    let town = &PAPERS.town;
    let key = make::application_key().unwrap();
    let request = make::request(&key, "Clinic", CLIENT).unwrap();
    let (certificate, uris) = make::admit(town, &request, now()).unwrap();
    assert_eq!(uris, [CLIENT]);
    let lax = Trust::read(town.certificate.as_bytes(), &[], false).unwrap();
    let leaf = lax.verify(&Chain::from_pem(certificate.as_bytes()).unwrap(), now()).unwrap();
    assert_eq!(leaf.uris, [CLIENT]);
    assert!(
        wire::trust::udap::Identity::from_pem(certificate.as_bytes(), key.as_bytes()).is_ok(),
        "the key has not left its house"
    );

    // Whoever asks to be an authority, or a host, is neither.
    let pair = KeyPair::from_pem(&key).unwrap();
    let mut greedy = CertificateParams::default();
    greedy.subject_alt_names = vec![
        SanType::URI(CLIENT.try_into().unwrap()),
        SanType::DnsName("plan.example".try_into().unwrap()),
    ];
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let asked = greedy.serialize_request(&pair).unwrap().pem().unwrap();
    let (certificate, _) = make::admit(town, &asked, now()).unwrap();
    let der = wire::pki::read_pem(certificate.as_bytes()).unwrap().remove(0);
    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(!read.is_ca());
    assert!(!read.key_usage().unwrap().unwrap().value.key_cert_sign());
    let names = read.subject_alternative_name().unwrap().unwrap().value;
    assert_eq!(names.general_names.len(), 1, "{names:?}");

    let mut nameless = CertificateParams::default();
    nameless.subject_alt_names = vec![SanType::DnsName("plan.example".try_into().unwrap())];
    let nameless = nameless.serialize_request(&pair).unwrap().pem().unwrap();
    let spoiled = request.replacen("MII", "MIJ", 1);
    for (case, request) in [
        ("no URI", nameless.as_str()),
        ("a certificate", certificate.as_str()),
        ("spoiled", spoiled.as_str()),
        ("nothing", ""),
    ] {
        assert!(make::admit(town, request, now()).is_err(), "{case}");
    }
}
