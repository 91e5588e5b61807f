//! Bodies to start from.
#![allow(unreachable_pub)]

/// Resources of every kind of syntax.
pub const SEEDS: &[&str] = &[
    r#"{"resourceType":"Patient","id":"p-1.a","meta":{"versionId":"1","source":"urn:x","profile":["http://p"],"security":[{"system":"s","code":"R"}]},"name":[{"family":"A\u00e9\ud83d\ude00\n","given":["B","C"],"_given":[null,{"id":"g"}]}],"active":true,"birthDate":"2000-01-01"}"#,
    "{\n  \"resourceType\" : \"Observation\",\r\n\t\"valueQuantity\" : { \"value\" : 1.00e-3, \"unit\":\"mg\" },\n  \"subject\" : {\"reference\":\"Patient/1\"},\"component\":[{\"valueInteger\":-0}, {\"valueBoolean\":false}],\n \"note\":[{\"text\":\"é\"}]\n}\n",
    r#"{"resourceType":"Bundle","type":"transaction","identifier":{"system":"s","value":"v"},"total":1,"link":[{"relation":"self","url":"u"}],"entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Encounter","id":"e","subject":{"reference":"urn:uuid:2"}},"request":{"method":"PUT","url":"Encounter/e","ifMatch":"W/\"1\""},"response":{"status":"200 OK","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}},"search":{"mode":"match"}}]}"#,
    r##"{"resourceType":"DocumentReference","contained":[{"resourceType":"Organization","id":"o"}],"content":[{"attachment":{"url":"Binary/1","data":"AAAA","size":4}}],"custodian":{"reference":"#o"}}"##,
    r#"{"resourceType":"Parameters","parameter":[{"name":"a","valueString":"x"},{"name":"b","part":[{"name":"c","valueDecimal":1.0},{"name":"d","resource":{"resourceType":"Binary"}}]},{"name":"default","valueCode":"4.0"}]}"#,
    r#"{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"exception","details":{"coding":[{"system":"s","code":"c","display":"d"}],"text":"t"},"diagnostics":"x","expression":["Patient.id"],"location":["/f:Patient"]}]}"#,
    "{\"resourceType\":\"A\"}\n\n{\"resourceType\":\"B\"}\r\n{\"resourceType\"",
    r#"{"versions":["4.0","5.0"],"default":"4.0"}"#,
    r#"[[],{},"",0,-1.5E+10,null,[[[{"a":[]}]]]]"#,
];
