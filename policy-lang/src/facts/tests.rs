use super::*;

fn facts() -> Vec<Fact> {
    let fact = |name: &str, ty, default, set_by| Fact { name: name.to_owned(), ty, default, set_by };
    vec![
        fact("supervised", FactType::Bool, FactValue::Bool(false), Party::Target),
        fact("level", FactType::Long, FactValue::Long(0), Party::Operator),
        fact("site", FactType::Ip, FactValue::Ip(ip("10.0.0.1").expect("address")), Party::Manager),
        fact("tags", FactType::Set, FactValue::Set(BTreeSet::new()), Party::Manager),
    ]
}

#[test]
fn facts_are_typed_and_closed() {
    let read = |json| from_json(&facts(), json, None).map_err(|e| e.to_string());
    let good =
        read(r#"{"supervised":true,"level":3,"site":"10.0.0.0/8","tags":["a","b"],"reason":"pump","ticket":"T1"}"#)
            .expect("all of it is declared");
    assert_eq!(good.get("supervised"), Some(&FactValue::Bool(true)));
    assert_eq!((good.reason(), good.ticket()), (Some("pump"), Some("T1")));
    for (json, sentence) in [
        ("{", "the facts are not valid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "facts are a JSON object such as {\"supervised\": true}"),
        (r#"{"supervisd":true}"#, "unknown fact `supervisd`; did you mean `supervised`?"),
        (r#"{"night":true}"#, "unknown fact `night`; the policy declares `supervised`, `level`, `site`, `tags`"),
        (r#"{"supervised":"yes"}"#, "fact `supervised` is a Bool, but \"yes\" was given"),
        (r#"{"level":1.5}"#, "fact `level` is a Long, but 1.5 was given"),
        (r#"{"tags":[1]}"#, "fact `tags` is a Set<String>, but [1] was given"),
        (r#"{"hour":3}"#, "`hour` is filled in by the system; it cannot be given"),
    ] {
        assert_eq!(read(json), Err(sentence.to_owned()), "{json}");
    }
}

#[test]
fn nobody_vouches_for_himself() {
    let read = |party| from_json(&facts(), r#"{"supervised":true}"#, Some(party));
    assert!(read(Party::Target).is_ok());
    assert_eq!(
        read(Party::Source).map_err(|e| e.to_string()),
        Err("fact `supervised` is set by the target; the source cannot say it".to_owned())
    );
}

#[test]
fn typed_text_is_read_by_the_declared_type() {
    for (party, name, text, expected) in [
        (Party::Target, "supervised", "true", Ok("true")),
        (Party::Operator, "level", "-3", Ok("-3")),
        (Party::Manager, "site", "10.0.0.0/8", Ok("\"10.0.0.0/8\"")),
        (Party::Manager, "site", "\"10.0.0.1\"", Ok("\"10.0.0.1/32\"")),
        (Party::Manager, "tags", "[\"b\", \"a\"]", Ok("[\"a\",\"b\"]")),
        (Party::Target, "supervised", "yes", Err("fact `supervised` is a Bool, but \"yes\" was given")),
        (Party::Manager, "tags", "a", Err("fact `tags` is a Set<String>, but \"a\" was given")),
        (Party::Source, "supervised", "true", Err("fact `supervised` is set by the target; the source cannot say it")),
        (Party::Source, "reason", "pump", Err("`reason` is filled in by the system; it cannot be given")),
        (Party::Operator, "levl", "1", Err("unknown fact `levl`; did you mean `level`?")),
    ] {
        let read = from_text(&facts(), party, name, text);
        let value = read.map(|facts| facts.get(name).expect("the fact").to_string()).map_err(|error| error.to_string());
        assert_eq!(value.as_deref().map_err(String::as_str), expected, "{name} {text}");
    }
}
