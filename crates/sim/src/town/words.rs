//! Words: the invented names of the town, and the codes that its charts use.
//!
//! Comes in   nothing.
//! Goes out   lists.
//! Never      a name of a real person, hospital or plan; codes are real, so that they can be looked up.

pub(super) const FAMILIES: [&str; 20] = [
    "Quillmarrow",
    "Fernwhistle",
    "Osterplum",
    "Brambledown",
    "Zinnwick",
    "Tattersedge",
    "Mockturtel",
    "Gladdenfry",
    "Pumblecrook",
    "Ravenscroup",
    "Snorkelby",
    "Thistlebeam",
    "Umberquist",
    "Vexbottom",
    "Wobblestone",
    "Yarrowgate",
    "Jinglebrook",
    "Hobblethwaite",
    "Inkleford",
    "Larkspindle",
];

pub(super) const GIVEN_FEMALE: [&str; 10] = [
    "Almarynth",
    "Brunelda",
    "Cassiopeth",
    "Dorabelline",
    "Eglantissa",
    "Fiorimonda",
    "Gwendabeth",
    "Hesperelle",
    "Ismeraud",
    "Jocastine",
];

pub(super) const GIVEN_MALE: [&str; 10] = [
    "Aldobrant",
    "Barnabix",
    "Corvinian",
    "Dunstanley",
    "Evandrel",
    "Fitzgarrow",
    "Godrimund",
    "Hieronimo",
    "Ignatrix",
    "Jasperond",
];

/// Clinicians are named apart from patients, so that a search for a patient's name finds no doctor.
pub(super) const CLINICIANS: [(&str, &str); 6] = [
    ("Ottoline", "Pepperwort"),
    ("Philomax", "Drizzlecote"),
    ("Rosamunda", "Eiderdown"),
    ("Septimore", "Nettlefrost"),
    ("Tabithora", "Cloverdyke"),
    ("Ulfrick", "Marzipane"),
];

pub(super) const STREETS: [&str; 8] = [
    "Gingerbread Lane",
    "Mousehole Row",
    "Upside Down Street",
    "Candlewax Court",
    "Teakettle Terrace",
    "Lost Mitten Road",
    "Second Star Alley",
    "Thimble Walk",
];

pub(super) const HOSPITALS: [(&str, &str); 4] = [
    ("St. Aldric Hospital", "st-aldric"),
    ("Mooncrest Medical Center", "mooncrest"),
    ("Willowmere Infirmary", "willowmere"),
    ("Copperkettle Clinic", "copperkettle"),
];

pub(super) const PLANS: [(&str, &str); 4] = [
    ("Greengable Mutual Health Plan", "greengable"),
    ("Tidewater and Thistle Health Plan", "tidewater"),
    ("Lanternlight Benefit Society", "lanternlight"),
    ("Harbour Owl Health Plan", "harbour-owl"),
];

/// A code with its display.
pub(super) type Code = (&'static str, &'static str);

/// A diagnosis in ICD-10-CM and in SNOMED CT.
pub(super) const DIAGNOSES: [(Code, Code); 8] = [
    (
        ("I10", "Essential (primary) hypertension"),
        ("59621000", "Essential hypertension (disorder)"),
    ),
    (
        ("E11.9", "Type 2 diabetes mellitus without complications"),
        ("44054006", "Diabetes mellitus type 2 (disorder)"),
    ),
    (("J45.909", "Unspecified asthma, uncomplicated"), ("195967001", "Asthma (disorder)")),
    (
        ("N39.0", "Urinary tract infection, site not specified"),
        ("68566005", "Urinary tract infectious disease (disorder)"),
    ),
    (
        ("J06.9", "Acute upper respiratory infection, unspecified"),
        ("54150009", "Upper respiratory infection (disorder)"),
    ),
    (("E78.5", "Hyperlipidemia, unspecified"), ("55822004", "Hyperlipidemia (disorder)")),
    (
        ("K21.9", "Gastro-esophageal reflux disease without esophagitis"),
        ("235595009", "Gastroesophageal reflux disease (disorder)"),
    ),
    (("M54.50", "Low back pain, unspecified"), ("279039007", "Low back pain (finding)")),
];

/// A laboratory test or vital sign: what is counted in steps of `10^-digits`.
pub(super) struct Measure {
    pub(super) code: Code,
    pub(super) unit: &'static str,
    pub(super) digits: u32,
    /// Reference range, in steps.
    pub(super) normal: (u32, u32),
    /// What the town's people show, in steps.
    pub(super) seen: (u32, u32),
}

const fn measure(
    code: Code,
    unit: &'static str,
    digits: u32,
    normal: (u32, u32),
    seen: (u32, u32),
) -> Measure {
    Measure { code, unit, digits, normal, seen }
}

/// The panel, and its tests. Creatinine comes first: the first of each patient is 1.00.
pub(super) const PANEL: Code = ("24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma");
pub(super) const LABS: [Measure; 6] = [
    measure(
        ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma"),
        "mg/dL",
        2,
        (60, 120),
        (70, 160),
    ),
    measure(
        ("2345-7", "Glucose [Mass/volume] in Serum or Plasma"),
        "mg/dL",
        0,
        (70, 99),
        (72, 180),
    ),
    measure(
        ("2951-2", "Sodium [Moles/volume] in Serum or Plasma"),
        "mmol/L",
        0,
        (136, 145),
        (133, 147),
    ),
    measure(
        ("2823-3", "Potassium [Moles/volume] in Serum or Plasma"),
        "mmol/L",
        1,
        (35, 51),
        (33, 55),
    ),
    measure(("718-7", "Hemoglobin [Mass/volume] in Blood"), "g/dL", 1, (120, 160), (100, 170)),
    measure(("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"), "%", 2, (400, 560), (450, 980)),
];

pub(super) const VITALS: [Measure; 4] = [
    measure(("8867-4", "Heart rate"), "/min", 0, (60, 100), (58, 112)),
    measure(("9279-1", "Respiratory rate"), "/min", 0, (12, 20), (11, 24)),
    measure(("8310-5", "Body temperature"), "Cel", 1, (361, 375), (360, 391)),
    measure(("29463-7", "Body weight"), "kg", 2, (4500, 11000), (4800, 12400)),
];

/// Systolic and diastolic, the two components of a blood pressure.
pub(super) const PRESSURES: [Measure; 2] = [
    measure(("8480-6", "Systolic blood pressure"), "mm[Hg]", 0, (90, 130), (98, 168)),
    measure(("8462-4", "Diastolic blood pressure"), "mm[Hg]", 0, (60, 85), (58, 102)),
];

/// SNOMED CT.
pub(super) const PROCEDURES: [Code; 3] = [
    ("29303009", "Electrocardiographic procedure (procedure)"),
    ("430193006", "Medication reconciliation (procedure)"),
    ("168731009", "Standard chest X-ray (procedure)"),
];

/// RxNorm.
pub(super) const MEDICINES: [Code; 3] = [
    ("314076", "lisinopril 10 MG Oral Tablet"),
    ("310798", "hydrochlorothiazide 25 MG Oral Tablet"),
    ("861007", "metformin hydrochloride 500 MG Oral Tablet"),
];

/// CVX.
pub(super) const VACCINES: [Code; 2] =
    [("140", "Influenza, seasonal, injectable, preservative free"), ("115", "Tdap")];

/// SNOMED CT.
pub(super) const ALLERGIES: [Code; 2] =
    [("91936005", "Allergy to penicillin (finding)"), ("91935009", "Allergy to peanut (finding)")];

/// NUCC taxonomy.
pub(super) const TAXONOMY: [Code; 2] =
    [("207R00000X", "Internal Medicine Physician"), ("207Q00000X", "Family Medicine Physician")];

/// OMB race categories of US Core.
pub(super) const RACES: [Code; 4] = [
    ("2106-3", "White"),
    ("2054-5", "Black or African American"),
    ("2028-9", "Asian"),
    ("1002-5", "American Indian or Alaska Native"),
];
