//! Words: what can be missing from a resource that travels, and who can mend it.
//!
//! Comes in   nothing: it is a vocabulary.
//! Goes out   one stable spelling for each word, and what it means in one line.
//! Never      a word whose meaning depends on the partner: agreements name words to hold a push by.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! words {
    ($($word:ident $slug:literal $title:literal)*) => {
        /// What makes a resource unusable. The spelling stands in agreements and
        /// acknowledgements, and is never changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FindingCode { $(#[doc = $title] #[serde(rename = $slug)] $word),* }

        impl FindingCode {
            /// All words, in their order of print.
            pub const ALL: &'static [FindingCode] = &[$(FindingCode::$word),*];

            /// The stable public spelling.
            pub const fn slug(self) -> &'static str {
                match self { $(FindingCode::$word => $slug),* }
            }

            /// What it means, in one line.
            pub const fn title(self) -> &'static str {
                match self { $(FindingCode::$word => $title),* }
            }
        }
    };
}

words! {
    MemberIdMissing "member-id-missing" "neither the patient nor a coverage gives the member id"
    PatientNameMissing "patient-name-missing" "the patient has no family name"
    PatientBirthDateMissing "patient-birth-date-missing" "the patient has no birth date"
    PatientGenderMissing "patient-gender-missing" "the patient has no gender"
    EncounterPeriodMissing "encounter-period-missing" "the encounter does not say from when to when"
    EncounterClassMissing "encounter-class-missing" "the encounter has no class"
    EncounterTypeMissing "encounter-type-missing" "the encounter has no type"
    EncounterDispositionMissing "encounter-disposition-missing"
        "an inpatient stay does not say how it ended"
    VisitNumberMissing "visit-number-missing" "the encounter has no visit or account number"
    EncounterPractitionerMissing "encounter-practitioner-missing"
        "the encounter names nobody who attended or treated the patient"
    EncounterNpiMissing "encounter-npi-missing"
        "nobody who attended or treated the patient has a valid NPI"
    EncounterProviderMissing "encounter-provider-missing"
        "the encounter does not say which organization provided it"
    DiagnosisNotIcd10Cm "diagnosis-not-icd-10-cm" "a diagnosis has no ICD-10-CM code"
    DiagnosisUncoded "diagnosis-uncoded" "a diagnosis has neither an ICD-10-CM nor a SNOMED CT code"
    ProcedureUncoded "procedure-uncoded"
        "a procedure has no code of CPT, HCPCS, CDT, ICD-10-PCS or SNOMED CT"
    ProcedureTimeMissing "procedure-time-missing" "a procedure that was done does not say when"
    MedicationUncoded "medication-uncoded" "a medication has neither an RxNorm nor an NDC code"
    ImmunizationUncoded "immunization-uncoded" "an immunization has no CVX code"
    ImmunizationTimeMissing "immunization-time-missing" "an immunization does not say when"
    OrderRequesterMissing "order-requester-missing" "an order does not say who gave it"
    ResultValueMissing "result-value-missing"
        "a result has neither a value nor a reason for having none"
    ResultNumberInWords "result-number-in-words" "a result's number is written as text"
    ResultUnitMissing "result-unit-missing" "a result's number has no unit"
    ResultUnitNotUcum "result-unit-not-ucum" "a result's unit is no UCUM code"
    ResultCodeMissing "result-code-missing" "a result or report has no LOINC code"
    ResultTimeMissing "result-time-missing" "a result or report does not say when it was so"
    ResultNotFinal "result-not-final" "a result or report is not final"
    ResultCategoryMissing "result-category-missing" "an observation does not say of which kind it is"
    ReportEmpty "report-empty" "a report has neither results nor a document"
    ReportPerformerMissing "report-performer-missing" "a report does not say who made it"
    LaboratoryCliaMissing "laboratory-clia-missing"
        "a laboratory report names no laboratory with a CLIA number"
    NoteTypeMissing "note-type-missing" "a note has no LOINC code that says what it is"
    NoteAuthorMissing "note-author-missing" "a note has no author"
    NoteAuthenticatorMissing "note-authenticator-missing" "a note was signed by nobody"
    NoteNotFinal "note-not-final" "a note does not say that it is final"
    NoteContentMissing "note-content-missing" "a note comes without its text"
    PractitionerNpiMissing "practitioner-npi-missing" "a practitioner has no NPI"
    OrganizationNpiMissing "organization-npi-missing" "an organization has no NPI"
    NpiInvalid "npi-invalid" "an NPI is wrong by its check digit"
    OrganizationTinMissing "organization-tin-missing"
        "an organization has no taxpayer identification number"
    ReferenceDangling "reference-dangling" "a reference that is needed leads to nothing that travels"
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

/// Who can mend what was found: always people of the sending house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mender {
    /// Who registers patients, visits and coverages.
    Registration,
    /// The laboratory, and whoever keeps its catalogue of tests.
    Laboratory,
    /// Who codes diagnoses, procedures and documents.
    Coder,
    /// Who treated the patient and wrote it down.
    Clinician,
    /// Who keeps the directory of practitioners and organizations.
    Credentialing,
    /// Who runs the EHR's interfaces.
    InterfaceTeam,
    /// Who keeps the agreement and the restrictions: a rule keeps it here.
    AgreementKeeper,
}

impl Mender {
    /// As people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Mender::Registration => "registration",
            Mender::Laboratory => "the laboratory",
            Mender::Coder => "the coders",
            Mender::Clinician => "the clinicians",
            Mender::Credentialing => "credentialing",
            Mender::InterfaceTeam => "the interface team",
            Mender::AgreementKeeper => "whoever keeps the agreement",
        }
    }
}

impl fmt::Display for Mender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
