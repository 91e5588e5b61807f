//! Checks: the table of what is looked at, for which purposes, and who can mend it.
//!
//! Comes in   nothing: it is data.
//! Goes out   one row per type and question, each with where the demand comes from.
//! Never      a repair, and never a demand that no rule or guide makes.
//!
//! A row says: of these resources, this must be there. `docs/FINDINGS.md` is the same table for
//! people.

use super::looks;
use super::seen::{Seen, Travelling};
use super::word::{FindingCode, Mender};
use super::{Demand, Lack};
use crate::purpose::Purpose;

/// One row.
pub(super) struct Check {
    /// What is asked for, and by whom.
    pub(super) demand: Demand,
    /// Which resources of its types.
    pub(super) only: fn(&Seen<'_>, &Travelling<'_>) -> bool,
    /// What is looked at.
    pub(super) look: Look,
}

/// What is looked at.
pub(super) enum Look {
    /// One of these elements says something.
    Any(&'static [&'static str]),
    /// The concept at the path has a code of one of these systems.
    Coded(&'static str, &'static [&'static str]),
    /// The element at the path is one of these codes.
    Is(&'static str, &'static [&'static str]),
    /// References at these paths lead to something that travels.
    Leads(&'static [&'static str]),
    /// What one element does not answer.
    By(for<'s, 'r> fn(&'s Seen<'r>, &'s Travelling<'r>) -> Vec<Lack>),
}

const ALL: &[Purpose] = &[
    Purpose::Payment,
    Purpose::Operations,
    Purpose::Treatment,
    Purpose::Coverage,
    Purpose::Quality,
];
/// What a claim, its review and risk adjustment need.
const CLAIMS: &[Purpose] = &[Purpose::Payment, Purpose::Operations, Purpose::Coverage];
/// The same, and measures.
const CLAIMS_AND_MEASURES: &[Purpose] =
    &[Purpose::Payment, Purpose::Operations, Purpose::Coverage, Purpose::Quality];
const TREATMENT: &[Purpose] = &[Purpose::Treatment];

const LOINC: &[&str] = &["http://loinc.org"];
const ICD_10_CM: &[&str] = &["http://hl7.org/fhir/sid/icd-10-cm"];
const DIAGNOSES: &[&str] = &["http://hl7.org/fhir/sid/icd-10-cm", "http://snomed.info/sct"];
const PROCEDURES: &[&str] = &[
    "http://www.ama-assn.org/go/cpt",
    "urn:oid:2.16.840.1.113883.6.12",
    "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "http://terminology.hl7.org/CodeSystem/HCPCS-all-codes",
    "urn:oid:2.16.840.1.113883.6.285",
    "http://www.cms.gov/Medicare/Coding/ICD10",
    "http://hl7.org/fhir/sid/icd-10-pcs",
    "urn:oid:2.16.840.1.113883.6.4",
    "http://www.ada.org/cdt",
    "urn:oid:2.16.840.1.113883.6.13",
    "http://snomed.info/sct",
];
pub(super) const MEDICINES: &[&str] = &[
    "http://www.nlm.nih.gov/research/umls/rxnorm",
    "http://hl7.org/fhir/sid/ndc",
    "urn:oid:2.16.840.1.113883.6.69",
];
const CVX: &[&str] = &["http://hl7.org/fhir/sid/cvx", "urn:oid:2.16.840.1.113883.12.292"];

const MEDICATION_TYPES: &[&str] =
    &["MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"];
const RESULT: &[&str] = &["Observation"];
const REPORT: &[&str] = &["DiagnosticReport"];
const ENCOUNTER: &[&str] = &["Encounter"];
const PATIENT: &[&str] = &["Patient"];
const NOTE: &[&str] = &["DocumentReference"];

/// Statuses of a result or report that stands (R4 observation-status, diagnostic-report-status).
const FINAL: &[&str] =
    &["final", "amended", "corrected", "appended", "cancelled", "entered-in-error"];

/// References without which a resource cannot be understood.
const NEEDED: &[&str] = &[
    "participant.individual",
    "serviceProvider",
    "diagnosis.condition",
    "requester",
    "performer",
    "performer.actor",
    "result",
    "hasMember",
    "medicationReference",
    "author",
    "authenticator",
    "practitioner",
    "organization",
];
const WITH_REFERENCES: &[&str] = &[
    "Encounter",
    "ServiceRequest",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationDispense",
    "MedicationAdministration",
    "DiagnosticReport",
    "Observation",
    "Procedure",
    "Immunization",
    "DocumentReference",
    "PractitionerRole",
];

const RESULT_VALUE: &str = "give the result's value, or the reason why it has none";
const RESULT_UNIT: &str = "give the unit beside the number, as UCUM code";
const RESULT_UCUM: &str = "map the unit to its UCUM code";
const RESULT_NUMBER: &str = "send the number as a quantity with its unit, not as text";
const RESULT_CODE: &str = "map the test or observation to its LOINC code";
const RESULT_TIME: &str = "give the time of collection or observation";

macro_rules! checks {
    ($($word:ident $kinds:expr, $only:ident, $look:expr, $purposes:ident, $actor:ident;
       $step:expr; $source:literal)*) => {
        /// All rows, in the order in which findings are told.
        pub(super) const CHECKS: &[Check] = &[$(Check {
            demand: Demand {
                word: FindingCode::$word, kinds: $kinds, purposes: $purposes,
                actor: Mender::$actor, step: $step, source: $source,
            },
            only: looks::$only, look: $look,
        }),*];
    };
}

checks! {
    // Whose it is.
    MemberIdMissing PATIENT, all, Look::By(looks::member_id), ALL, Registration;
        "enter the member id of the insurance card in the patient's coverage";
        "HRex Coverage: member id slice or subscriberId; HRex $member-match"
    PatientNameMissing PATIENT, all, Look::Any(&["name.family"]), ALL, Registration;
        "enter the patient's family name"; "US Core Patient: name; HRex $member-match"
    PatientBirthDateMissing PATIENT, all, Look::Any(&["birthDate"]), ALL, Registration;
        "enter the patient's birth date"; "US Core Patient: birthDate; HRex $member-match"
    PatientGenderMissing PATIENT, all, Look::Any(&["gender"]), ALL, Registration;
        "enter the patient's administrative gender"; "US Core Patient: gender 1..1"

    // The visit.
    EncounterPeriodMissing ENCOUNTER, all, Look::Any(&["period.start"]), ALL, Registration;
        "enter when the encounter began"; "US Core Encounter: period; HEDIS: date of service"
    EncounterPeriodMissing ENCOUNTER, is_finished, Look::Any(&["period.end"]), ALL, Registration;
        "enter when the encounter ended"; "US Core Encounter: period; HEDIS: discharge date"
    EncounterClassMissing ENCOUNTER, all, Look::Any(&["class.code"]), ALL, Registration;
        "give the encounter's class"; "R4 Encounter: class 1..1"
    EncounterTypeMissing ENCOUNTER, all, Look::Any(&["type.coding.code"]), CLAIMS_AND_MEASURES,
        Coder; "code the encounter's type"; "US Core Encounter: type 1..*; HEDIS visit value sets"
    EncounterDispositionMissing ENCOUNTER, is_finished_stay,
        Look::Any(&["hospitalization.dischargeDisposition"]), CLAIMS_AND_MEASURES, Registration;
        "enter the discharge disposition";
        "US Core Encounter: dischargeDisposition; UB-04 form locator 17; HEDIS PCR, TRC"
    VisitNumberMissing ENCOUNTER, all, Look::Any(&["identifier.value", "account"]), CLAIMS,
        InterfaceTeam; "send the visit or account number as an identifier of the encounter";
        "US Core Encounter: identifier; UB-04 form locator 3a"
    EncounterPractitionerMissing ENCOUNTER, all, Look::By(looks::encounter_practitioner),
        CLAIMS_AND_MEASURES, Registration; "enter who attended or treated the patient";
        "US Core Encounter: participant; UB-04 form locator 76; CMS-1500 item 24J"
    EncounterNpiMissing ENCOUNTER, all, Look::By(looks::encounter_npi), CLAIMS_AND_MEASURES,
        Credentialing; "enter the NPI of who attended or treated the patient in the directory";
        "45 CFR 162.410; US Core Practitioner: NPI"
    EncounterProviderMissing ENCOUNTER, all, Look::Any(&["serviceProvider"]), CLAIMS,
        Registration; "enter the organization that provided the encounter";
        "US Core Encounter: serviceProvider; CMS-1500 item 33"

    // What was found and done.
    DiagnosisNotIcd10Cm &["Condition"], is_diagnosis, Look::Coded("code", ICD_10_CM),
        CLAIMS_AND_MEASURES, Coder; "code the diagnosis in ICD-10-CM";
        "45 CFR 162.1002(c)(2): ICD-10-CM for diagnoses"
    DiagnosisUncoded &["Condition"], is_diagnosis, Look::Coded("code", DIAGNOSES), TREATMENT,
        Coder; "code the diagnosis in ICD-10-CM or SNOMED CT";
        "US Core Condition: code"
    ProcedureUncoded &["Procedure"], all, Look::Coded("code", PROCEDURES), ALL, Coder;
        "code the procedure in CPT, HCPCS, CDT, ICD-10-PCS or SNOMED CT";
        "45 CFR 162.1002(c)(3), (a)(4), (a)(5); US Core Procedure: code"
    ProcedureTimeMissing &["Procedure"], was_done, Look::Any(&["performed[x]"]), ALL, Clinician;
        "enter when the procedure was done"; "US Core Procedure: us-core-7"
    MedicationUncoded MEDICATION_TYPES, all, Look::By(looks::medication), ALL, InterfaceTeam;
        "map the medication to its RxNorm or NDC code";
        "US Core MedicationRequest: medication; 45 CFR 162.1002(b)(2): NDC"
    ImmunizationUncoded &["Immunization"], all, Look::Coded("vaccineCode", CVX), ALL,
        InterfaceTeam; "map the vaccine to its CVX code"; "US Core Immunization: vaccineCode; HEDIS CIS, IMA"
    ImmunizationTimeMissing &["Immunization"], was_given, Look::Any(&["occurrence[x]"]), ALL,
        Clinician; "enter when the vaccine was given"; "R4 Immunization: occurrence[x] 1..1; HEDIS CIS, IMA"
    OrderRequesterMissing &["ServiceRequest", "MedicationRequest"], all,
        Look::Any(&["requester.reference", "requester.identifier"]), CLAIMS, Clinician;
        "enter who gave the order"; "US Core ServiceRequest and MedicationRequest: requester; CMS-1500 item 17"

    // Results of the laboratory.
    ResultValueMissing RESULT, is_laboratory, Look::By(looks::result_value), ALL, Laboratory;
        RESULT_VALUE; "US Core Laboratory Result Observation: us-core-2"
    ResultNumberInWords RESULT, is_laboratory, Look::By(looks::number_in_words), ALL, Laboratory;
        RESULT_NUMBER; "US Core Laboratory Result Observation: valueQuantity; HEDIS GSD, KED"
    ResultUnitMissing RESULT, is_laboratory, Look::By(looks::unit_missing), ALL, Laboratory;
        RESULT_UNIT; "UCUM; US Core Laboratory Result Observation: us-core-3"
    ResultUnitNotUcum RESULT, is_laboratory, Look::By(looks::unit_not_ucum), ALL, Laboratory;
        RESULT_UCUM; "UCUM; US Core Laboratory Result Observation: us-core-3"
    ResultCodeMissing RESULT, is_laboratory, Look::Coded("code", LOINC), ALL, Laboratory;
        RESULT_CODE; "US Core Laboratory Result Observation: code from LOINC"
    ResultTimeMissing RESULT, is_laboratory, Look::Any(&["effective[x]"]), ALL, Laboratory;
        RESULT_TIME; "US Core Laboratory Result Observation: effective[x]; HEDIS: date of the test"
    ResultNotFinal RESULT, is_laboratory_of_any_status, Look::Is("status", FINAL),
        CLAIMS_AND_MEASURES, Laboratory; "release the final result; it goes on by itself";
        "R4 observation-status; HEDIS counts final results"

    // Vital signs, and what does not say of which kind it is.
    ResultCategoryMissing RESULT, all, Look::Any(&["category"]), ALL, InterfaceTeam;
        "send the observation's category"; "US Core Observation profiles: category 1..*"
    ResultValueMissing RESULT, is_measured, Look::By(looks::result_value), ALL, Clinician;
        RESULT_VALUE; "US Core Vital Signs: vs-2"
    ResultNumberInWords RESULT, is_measured, Look::By(looks::number_in_words), ALL, InterfaceTeam;
        RESULT_NUMBER; "US Core Vital Signs: valueQuantity; HEDIS CBP"
    ResultUnitMissing RESULT, is_measured, Look::By(looks::unit_missing), ALL, InterfaceTeam;
        RESULT_UNIT; "UCUM; US Core Vital Signs: unit and code"
    ResultUnitNotUcum RESULT, is_measured, Look::By(looks::unit_not_ucum), ALL, InterfaceTeam;
        RESULT_UCUM; "UCUM; US Core Vital Signs: unit and code"
    ResultCodeMissing RESULT, is_measured, Look::Coded("code", LOINC), ALL, InterfaceTeam;
        RESULT_CODE; "US Core Vital Signs: code from LOINC"
    ResultTimeMissing RESULT, is_measured, Look::Any(&["effective[x]"]), ALL, Clinician;
        RESULT_TIME; "US Core Vital Signs: effective[x] 1..1"

    // Reports.
    ResultCodeMissing REPORT, is_laboratory, Look::Coded("code", LOINC), ALL, Laboratory;
        RESULT_CODE; "US Core DiagnosticReport for Laboratory Results: code from LOINC"
    ResultCodeMissing REPORT, is_other_report, Look::Coded("code", LOINC), ALL, Coder;
        "give the report its LOINC code";
        "US Core DiagnosticReport for Report and Note Exchange: code from LOINC"
    ResultTimeMissing REPORT, is_laboratory, Look::Any(&["effective[x]"]), ALL, Laboratory;
        RESULT_TIME; "US Core DiagnosticReport for Laboratory Results: us-core-8"
    ResultNotFinal REPORT, is_laboratory_of_any_status, Look::Is("status", FINAL),
        CLAIMS_AND_MEASURES, Laboratory; "release the final report; it goes on by itself";
        "R4 diagnostic-report-status; HEDIS counts final results"
    ResultNotFinal REPORT, is_other_report, Look::Is("status", FINAL), CLAIMS_AND_MEASURES,
        Clinician; "finish the report in the EHR; it goes on by itself";
        "R4 diagnostic-report-status"
    ReportEmpty REPORT, is_laboratory, Look::Any(&["result", "presentedForm"]), ALL, InterfaceTeam;
        "send the report's results, or its document";
        "US Core DiagnosticReport for Laboratory Results: result"
    ReportPerformerMissing REPORT, is_laboratory, Look::Any(&["performer"]), ALL, Laboratory;
        "enter which laboratory made the report";
        "US Core DiagnosticReport for Laboratory Results: performer; 42 CFR 493.1291(c)"
    ReportPerformerMissing REPORT, is_other_report, Look::Any(&["performer"]), ALL, Clinician;
        "enter who made the report";
        "US Core DiagnosticReport for Report and Note Exchange: performer"
    LaboratoryCliaMissing REPORT, is_laboratory, Look::By(looks::clia), CLAIMS, Laboratory;
        "name the laboratory as performer, with its CLIA number";
        "42 CFR 493.1291(c)(2); CMS-1500 item 23; US Core Organization: CLIA"

    // Notes.
    NoteTypeMissing NOTE, all, Look::Coded("type", LOINC), ALL, Coder;
        "give the note its LOINC document type"; "US Core DocumentReference: type from LOINC"
    NoteAuthorMissing NOTE, all, Look::Any(&["author"]), ALL, Clinician;
        "enter who wrote the note"; "US Core DocumentReference: author; 42 CFR 482.24(c)(1)"
    NoteAuthenticatorMissing NOTE, is_current, Look::Any(&["authenticator"]), CLAIMS, Clinician;
        "sign the note in the EHR";
        "42 CFR 482.24(c)(1); CMS Program Integrity Manual chapter 3, section 3.3.2.4"
    NoteNotFinal NOTE, is_current, Look::Is("docStatus", &["final", "amended"]), CLAIMS, Clinician;
        "finish the note in the EHR, or have its status sent";
        "R4 composition-status; CMS Program Integrity Manual chapter 3, section 3.3.2.4"
    NoteContentMissing NOTE, all, Look::By(looks::note_content), ALL, InterfaceTeam;
        "send the note's text, or an address at which the EHR gives it";
        "US Core DocumentReference: us-core-6, data or url"

    // Who did it.
    PractitionerNpiMissing &["Practitioner"], is_named_provider, Look::By(looks::npi_missing),
        CLAIMS_AND_MEASURES, Credentialing; "enter the practitioner's NPI in the directory";
        "45 CFR 162.410; US Core Practitioner: NPI"
    OrganizationNpiMissing &["Organization"], is_provider, Look::By(looks::npi_missing),
        CLAIMS_AND_MEASURES, Credentialing; "enter the organization's NPI in the directory";
        "45 CFR 162.410; US Core Organization: NPI"
    NpiInvalid &["Practitioner", "Organization"], all, Look::By(looks::npi_wrong),
        CLAIMS_AND_MEASURES, Credentialing; "correct the NPI in the directory";
        "45 CFR 162.406: the tenth digit is a check digit"
    OrganizationTinMissing &["Organization"], is_provider, Look::By(looks::tin_missing), CLAIMS,
        Credentialing; "enter the organization's taxpayer identification number in the directory";
        "45 CFR 162.605: the EIN identifies employers; UB-04 form locator 5; CMS-1500 item 25"

    // What the rest hangs on.
    ReferenceDangling WITH_REFERENCES, all, Look::Leads(NEEDED), ALL, InterfaceTeam;
        "have the EHR give what the reference names, or mend the reference";
        "R4 2.3.0: a literal reference is to be resolvable"
}
