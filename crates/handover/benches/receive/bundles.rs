//! Bundles: what the clients bring, built before the clock starts.
//!
//! Comes in   the sender's namespace, how many resources a Bundle has, where to begin.
//! Goes out   transaction Bundles as bytes: one Patient, and what an encounter leaves, about 1.5 KB
//!            each; every id appears once in all of them.
//! Never      draws anything: the same numbers give the same bytes, in every process.

use bytes::Bytes;
use exchange::id::derived_id;
use std::fmt::Write;

/// Members of the plan: the n-th Bundle is about the n-th of them, round and round.
pub(crate) const MEMBERS: u64 = 1_000;

/// The file of members that these Bundles are about.
pub(crate) fn members() -> String {
    let mut file = "member_id,family,given,birth_date,gender\n".to_owned();
    for member in 0..MEMBERS {
        let (family, day) = (family(member), birth_date(member));
        let _ = writeln!(file, "M{member:07},{family},Sample,{day},female");
    }
    file
}

fn family(member: u64) -> String {
    format!("Family{member:04}")
}

fn birth_date(member: u64) -> String {
    format!("19{:02}-{:02}-{:02}", 30 + member % 60, 1 + member % 12, 1 + member % 28)
}

/// Whose Bundles they are, and how large.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The sender's namespace.
    pub(crate) namespace: String,
    /// Resources in each Bundle.
    pub(crate) resources: usize,
    /// Keeps the ids of one series apart from those of another.
    pub(crate) name: &'static str,
}

impl Series {
    /// So many Bundles, from this number on.
    pub(crate) fn bundles(&self, from: u64, count: u64) -> Vec<Bytes> {
        (from..from + count).map(|number| self.bundle(number)).collect()
    }

    fn bundle(&self, number: u64) -> Bytes {
        let mut page = Page::new(self, number);
        page.patient();
        if self.resources > 1 {
            page.coverage();
        }
        if self.resources > 2 {
            page.encounter();
        }
        for place in 3..self.resources {
            match place % 8 {
                0 => page.condition(place),
                4 => page.medication(place),
                6 => page.procedure(place),
                _ => page.observation(place),
            }
        }
        page.end()
    }
}

/// One Bundle as it grows.
struct Page<'s> {
    series: &'s Series,
    number: u64,
    text: String,
    patient: String,
    encounter: String,
    first: bool,
}

impl<'s> Page<'s> {
    fn new(series: &'s Series, number: u64) -> Page<'s> {
        let namespace = &series.namespace;
        let text = format!(
            r#"{{"resourceType":"Bundle","type":"transaction","identifier":{{"system":"{namespace}/push","value":"1-{number:016x}{:016x}"}},"timestamp":"2026-01-03T10:00:00Z","entry":["#,
            series.resources,
        );
        let mut page = Page {
            series,
            number,
            text,
            patient: String::new(),
            encounter: String::new(),
            first: true,
        };
        page.patient = page.id("Patient", 0).1;
        page.encounter = page.id("Encounter", 2).1;
        page
    }

    /// Source id and derived id.
    fn id(&self, kind: &str, place: usize) -> (String, String) {
        let source =
            format!("{}{}-{}-{place}", self.series.name, self.series.resources, self.number);
        let derived = derived_id(&self.series.namespace, kind, &source);
        (source, derived)
    }

    fn entry(&mut self, kind: &str, place: usize, members: &str) {
        let namespace = &self.series.namespace;
        let (source, id) = self.id(kind, place);
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        let profile = kind.to_lowercase();
        let _ = write!(
            self.text,
            r#"{comma}{{"fullUrl":"{namespace}/{kind}/{id}","resource":{{"resourceType":"{kind}","id":"{id}","meta":{{"source":"{namespace}/{kind}/{source}","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-{profile}|6.1.0"]}},{members}}},"request":{{"method":"PUT","url":"{kind}/{id}"}}}}"#
        );
    }

    fn patient(&mut self) {
        let member = self.number % MEMBERS;
        let (family, day, number) = (family(member), birth_date(member), self.number);
        let members = format!(
            r#""text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>Sample {family}, born {day}</p></div>"}},"extension":[{{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-race","extension":[{{"url":"ombCategory","valueCoding":{{"system":"urn:oid:2.16.840.1.113883.6.238","code":"2106-3","display":"White"}}}},{{"url":"text","valueString":"White"}}]}},{{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":"F"}}],"identifier":[{{"use":"usual","type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR","display":"Medical record number"}}]}},"system":"urn:oid:1.2.3.4.5","value":"MRN{number:010}"}},{{"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}}]}},"system":"https://plan.example/members","value":"M{member:07}"}}],"active":true,"name":[{{"use":"official","family":"{family}","given":["Sample","Q."]}}],"telecom":[{{"system":"phone","value":"555-0100","use":"home"}}],"gender":"female","birthDate":"{day}","address":[{{"use":"home","line":["1 Main Street"],"city":"Nowhereton","state":"MA","postalCode":"00001","country":"US"}}],"maritalStatus":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-MaritalStatus","code":"M","display":"Married"}}]}},"communication":[{{"language":{{"coding":[{{"system":"urn:ietf:bcp:47","code":"en-US","display":"English"}}]}},"preferred":true}}]"#
        );
        self.entry("Patient", 0, &members);
    }

    fn coverage(&mut self) {
        let (member, patient) = (self.number % MEMBERS, self.patient.clone());
        let members = format!(
            r#""identifier":[{{"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}}]}},"system":"https://plan.example/members","value":"M{member:07}"}}],"status":"active","type":{{"coding":[{{"system":"https://nahdo.org/sopt","code":"512","display":"Commercial managed care"}}]}},"subscriberId":"M{member:07}","beneficiary":{{"reference":"Patient/{patient}"}},"relationship":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/subscriber-relationship","code":"self"}}]}},"period":{{"start":"2025-01-01"}},"payor":[{{"display":"The plan"}}],"class":[{{"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"group"}}]}},"value":"G-100","name":"Employees of the town"}},{{"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"plan"}}]}},"value":"P-7","name":"Standard"}}],"network":"Town and country","costToBeneficiary":[{{"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/coverage-copay-type","code":"gpvisit"}}]}},"valueMoney":{{"value":25.00,"currency":"USD"}}}}]"#
        );
        self.entry("Coverage", 1, &members);
    }

    fn encounter(&mut self) {
        let (number, patient) = (self.number, self.patient.clone());
        let members = format!(
            r#""identifier":[{{"system":"urn:oid:1.2.3.4.6","value":"V{number:010}"}}],"status":"finished","class":{{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB","display":"ambulatory"}},"type":[{{"coding":[{{"system":"http://snomed.info/sct","code":"185349003","display":"Encounter for check up (procedure)"}},{{"system":"http://www.ama-assn.org/go/cpt","code":"99213","display":"Office visit, established patient"}}],"text":"Encounter for check up"}}],"subject":{{"reference":"Patient/{patient}","display":"Sample patient"}},"participant":[{{"type":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"PPRF","display":"primary performer"}}]}}],"period":{{"start":"2026-01-03T09:00:00-05:00","end":"2026-01-03T09:40:00-05:00"}},"individual":{{"display":"Dr. Sample Clinician"}}}}],"period":{{"start":"2026-01-03T09:00:00-05:00","end":"2026-01-03T09:40:00-05:00"}},"reasonCode":[{{"coding":[{{"system":"http://snomed.info/sct","code":"44054006","display":"Diabetes mellitus type 2"}}]}}],"hospitalization":{{"dischargeDisposition":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/discharge-disposition","code":"home"}}]}}}},"location":[{{"location":{{"display":"Outpatient Clinic"}}}}],"serviceProvider":{{"display":"General Hospital"}}"#
        );
        self.entry("Encounter", 2, &members);
    }

    fn observation(&mut self, place: usize) {
        let (number, patient, encounter) = (self.number, &self.patient, &self.encounter);
        let code = 4_500 + place % 97;
        let value = 4 + place % 90;
        let members = format!(
            r#""text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">Hemoglobin A1c: {value}.00 %</div>"}},"identifier":[{{"use":"official","system":"urn:oid:1.2.3.4.7","value":"R{number:010}-{place}"}}],"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"Laboratory"}}],"text":"Laboratory"}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}-4","display":"Hemoglobin A1c/Hemoglobin.total in Blood"}},{{"system":"urn:oid:1.2.3.4.8","code":"L{code}","display":"HBA1C"}}],"text":"Hemoglobin A1c"}},"subject":{{"reference":"Patient/{patient}","display":"Sample patient"}},"encounter":{{"reference":"Encounter/{encounter}"}},"effectiveDateTime":"2026-01-03T09:{:02}:00-05:00","issued":"2026-01-03T11:15:27.120-05:00","performer":[{{"display":"General Hospital Laboratory"}}],"valueQuantity":{{"value":{value}.00,"unit":"%","system":"http://unitsofmeasure.org","code":"%"}},"interpretation":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"N","display":"Normal"}}]}}],"referenceRange":[{{"low":{{"value":4.0,"unit":"%"}},"high":{{"value":5.60,"unit":"%"}},"text":"4.0 - 5.6 %"}}]"#,
            place % 60
        );
        self.entry("Observation", place, &members);
    }

    fn condition(&mut self, place: usize) {
        let (patient, encounter) = (&self.patient, &self.encounter);
        let code = 44_000_000 + place % 211;
        let members = format!(
            r#""text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">Diabetes mellitus type 2, active, confirmed</div>"}},"clinicalStatus":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active","display":"Active"}}]}},"verificationStatus":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status","code":"confirmed","display":"Confirmed"}}]}},"category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/condition-category","code":"encounter-diagnosis","display":"Encounter Diagnosis"}}]}}],"severity":{{"coding":[{{"system":"http://snomed.info/sct","code":"6736007","display":"Moderate"}}]}},"code":{{"coding":[{{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"E11.{}","display":"Type 2 diabetes mellitus"}},{{"system":"http://snomed.info/sct","code":"{code}","display":"Diabetes mellitus type 2"}}],"text":"Diabetes mellitus type 2"}},"subject":{{"reference":"Patient/{patient}"}},"encounter":{{"reference":"Encounter/{encounter}"}},"onsetDateTime":"2024-05-0{}","recordedDate":"2026-01-03T09:20:00-05:00""#,
            place % 10,
            1 + place % 9,
        );
        self.entry("Condition", place, &members);
    }

    fn medication(&mut self, place: usize) {
        let (patient, encounter) = (&self.patient, &self.encounter);
        let code = 860_900 + place % 83;
        let members = format!(
            r#""text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">Metformin hydrochloride 500 MG, one tablet twice a day</div>"}},"status":"active","intent":"order","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/medicationrequest-category","code":"outpatient","display":"Outpatient"}}]}}],"medicationCodeableConcept":{{"coding":[{{"system":"http://www.nlm.nih.gov/research/umls/rxnorm","code":"{code}","display":"metformin hydrochloride 500 MG Oral Tablet"}}],"text":"Metformin 500 mg"}},"subject":{{"reference":"Patient/{patient}"}},"encounter":{{"reference":"Encounter/{encounter}"}},"authoredOn":"2026-01-03T09:35:00-05:00","requester":{{"display":"Dr. Sample Clinician"}},"dosageInstruction":[{{"text":"One tablet twice a day, with meals","timing":{{"repeat":{{"frequency":2,"period":1,"periodUnit":"d"}}}},"route":{{"coding":[{{"system":"http://snomed.info/sct","code":"26643006","display":"Oral route"}}]}},"doseAndRate":[{{"doseQuantity":{{"value":1.0,"unit":"tablet"}}}}]}}],"dispenseRequest":{{"numberOfRepeatsAllowed":3,"quantity":{{"value":60,"unit":"tablet"}}}}"#
        );
        self.entry("MedicationRequest", place, &members);
    }

    fn procedure(&mut self, place: usize) {
        let (patient, encounter) = (&self.patient, &self.encounter);
        let code = 23_426_000 + place % 131;
        let members = format!(
            r#""text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">Spirometry, completed without complication; results were discussed with the patient on the same day</div>"}},"status":"completed","category":{{"coding":[{{"system":"http://snomed.info/sct","code":"103693007","display":"Diagnostic procedure"}}]}},"code":{{"coding":[{{"system":"http://snomed.info/sct","code":"{code}","display":"Measurement of respiratory function (procedure)"}},{{"system":"http://www.ama-assn.org/go/cpt","code":"94010","display":"Spirometry"}}],"text":"Spirometry"}},"subject":{{"reference":"Patient/{patient}"}},"encounter":{{"reference":"Encounter/{encounter}"}},"performedPeriod":{{"start":"2026-01-03T09:10:00-05:00","end":"2026-01-03T09:25:00-05:00"}},"performer":[{{"function":{{"coding":[{{"system":"http://snomed.info/sct","code":"28229004","display":"Optometrist"}}]}},"actor":{{"display":"Dr. Sample Clinician"}}}}],"note":[{{"text":"The patient tolerated the procedure well."}}]"#
        );
        self.entry("Procedure", place, &members);
    }

    fn end(mut self) -> Bytes {
        self.text.push_str("]}");
        self.text.into()
    }
}
