use super::*;

#[test]
fn codes_are_read_as_people_type_them() {
    for word in ["P014", "p014", "P14", "14", "014"] {
        assert_eq!(word.parse(), Ok(Code::UnknownApparatus), "{word}");
    }
}

#[test]
fn what_is_no_code_is_near_one() {
    for (word, said) in [
        ("P0144", "`P0144` is no code of the policy language; did you mean `P014` (an unknown gateway or client)?"),
        ("0O1", "`0O1` is no code of the policy language; did you mean `P001` (the text cannot be read)?"),
        ("terminal", "`terminal` is no code of the policy language"),
        ("", "`` is no code of the policy language; did you mean `P001` (the text cannot be read)?"),
        ("größe", "`größe` is no code of the policy language"),
    ] {
        assert_eq!(word.parse::<Code>().map_err(|error| error.to_string()), Err(said.to_owned()));
    }
}
