//! Variables of a playlist (`EXT-X-DEFINE`), and what stands for them: `{$NAME}` in addresses and in the attributes of tags (of RFC 8216's successor
//! 4.3 and 4.4.2.3).
//!
//! 1. A value is given in the playlist, taken over from the master playlist (`IMPORT`), or from the query of the playlist's own address
//!    (`QUERYPARAM`). What is put in is not looked through again.
//! 2. What names a variable that nobody has declared before, and one that is declared twice, is an error and is not asked for as it stands.
//! 3. Variables, their values and all that is put in are bounded: a few bytes must not become many.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;

use super::attributes::Attributes;
use super::line_problem::LineProblem;

/// Variables of one playlist; real ones have a handful.
const MOST: usize = 100;
/// Bytes that all references of a playlist together become: about as many as a playlist may have.
const MOST_PUT_IN: usize = 8 << 20;

/// Values by name.
pub type Variables = BTreeMap<String, String>;

/// What is known of a playlist besides its bytes.
#[derive(Debug, Clone, Default)]
pub struct PlaylistPlace {
    /// Where it came from in the end.
    pub url: Option<Url>,
    /// Of the master playlist that led to it.
    pub imported: Option<Arc<Variables>>,
}

/// Those that were declared so far.
#[derive(Debug, Default)]
pub(super) struct DeclaredVariables {
    place: PlaylistPlace,
    known: Variables,
    put_in: usize,
}

impl DeclaredVariables {
    pub(super) const fn at(place: PlaylistPlace) -> Self {
        Self { place, known: Variables::new(), put_in: 0 }
    }

    pub(super) fn into_known(self) -> Variables {
        self.known
    }

    /// Takes the attributes of `EXT-X-DEFINE`.
    pub(super) fn declare(&mut self, text: &str) -> Result<(), LineProblem> {
        let (mut name, mut value, mut import, mut query) = (None, None, None, None);
        for attribute in Attributes::of(text) {
            let (attribute, given) = attribute?;
            match attribute {
                "NAME" => name = Some(given),
                "VALUE" => value = Some(given),
                "IMPORT" => import = Some(given),
                "QUERYPARAM" => query = Some(given),
                _ => {}
            }
        }
        let (name, value) = match (name, import, query) {
            (Some(name), None, None) => (name, value.ok_or("expected VALUE beside NAME")?.to_owned()),
            (None, Some(name), None) => {
                let found = self.place.imported.as_ref().and_then(|all| all.get(name));
                (name, found.ok_or("the master playlist declares no variable of that name, or there is none")?.clone())
            }
            (None, None, Some(name)) => (name, self.of_query(name)?),
            _ => return Err("expected one of NAME, IMPORT and QUERYPARAM".into()),
        };
        if !is_name(name) {
            return Err("expected a name of letters, digits, - and _".into());
        }
        if self.known.len() >= MOST {
            return Err(LineProblem::TooMany("variables", MOST));
        }
        match self.known.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err("it declares a variable for the second time".into()),
        }
    }

    fn of_query(&self, name: &str) -> Result<String, LineProblem> {
        let mut pairs = self.place.url.iter().flat_map(Url::query_pairs);
        let found = pairs.find(|(key, value)| key == name && !value.is_empty());
        let (_, value) = found.ok_or("the playlist's own address has no such parameter, or an empty one")?;
        // It would end the attribute that it is put into.
        if value.contains(|character: char| character == '"' || character.is_control()) {
            return Err("the parameter of the playlist's own address has characters that stand in no address".into());
        }
        Ok(value.into_owned())
    }

    /// The same text with their values.
    pub(super) fn put_into<'t>(&mut self, text: &'t str) -> Result<Cow<'t, str>, LineProblem> {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{$") {
            let reference = behind.split_once('}').filter(|(name, _)| is_name(name));
            let Some((name, after)) = reference else {
                // A brace and a dollar that are no reference are what they are.
                whole.push_str(before);
                whole.push_str("{$");
                rest = behind;
                continue;
            };
            let value = self.known.get(name).ok_or("it names a variable that is not declared before (EXT-X-DEFINE)")?;
            self.put_in += before.len() + value.len();
            if self.put_in > MOST_PUT_IN {
                return Err(LineProblem::TooMany("bytes of variables", MOST_PUT_IN));
            }
            whole.push_str(before);
            whole.push_str(value);
            rest = after;
        }
        if rest.len() == text.len() {
            return Ok(Cow::Borrowed(text));
        }
        whole.push_str(rest);
        Ok(Cow::Owned(whole))
    }
}

fn is_name(text: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_of_names)
}

#[cfg(test)]
mod tests {
    use super::super::{HlsPlaylist, MediaList, PlaylistError, parse_playlist};
    use super::*;

    fn read(text: &str, url: &str, imported: &[(&str, &str)]) -> Result<HlsPlaylist, PlaylistError> {
        let imported = imported.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let place = PlaylistPlace { url: Url::parse(url).ok(), imported: Some(Arc::new(imported)) };
        parse_playlist(format!("#EXTM3U\n{text}").as_bytes(), place)
    }

    fn media(text: &str) -> MediaList {
        let text = format!("#EXT-X-TARGETDURATION:2\n{text}");
        match read(&text, "https://h/live.m3u8?token=a%2Fb%20c&empty=", &[("path", "from/master")]) {
            Ok(HlsPlaylist::Media(list)) => list,
            other => panic!("{other:?}"),
        }
    }

    fn problem(text: &str) -> String {
        let text = format!("#EXT-X-TARGETDURATION:2\n{text}");
        let url = "https://h/live.m3u8?token=secret&empty=&bad=%22x";
        read(&text, url, &[("path", "p")]).unwrap_err().to_string()
    }

    #[test]
    fn values_stand_in_addresses_and_attributes_wherever_they_come_from() {
        let list = media(
            "#EXT-X-DEFINE:NAME=\"host\",VALUE=\"https://cdn.example/{path}\"\n#EXT-X-DEFINE:IMPORT=\"path\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
             #EXT-X-DEFINE:NAME=\"iv_1-A\",VALUE=\"0f\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"{$host}/key?{$token}\",IV=0x{$iv_1-A}\n\
             #EXT-X-MAP:URI=\"{$path}/init.mp4\"\n#EXTINF:2,{$title}\n{$host}/{$path}/1.ts?t={$token}\n# a comment with {$nothing}\n#EXTINF:2,\n{$}/{$/2.ts\n",
        );
        let uris: Vec<_> = list.segments.iter().map(|one| &*one.uri).collect();
        assert_eq!(uris, ["https://cdn.example/{path}/from/master/1.ts?t=a/b c", "{$}/{$/2.ts"]);
        let mut iv = [0; 16];
        iv[15] = 15;
        let key = super::super::SegmentCipher::Aes128 {
            uri: "https://cdn.example/{path}/key?a/b c".to_owned(),
            iv: Some(iv),
        };
        assert_eq!(list.segments[0].cipher.as_deref(), Some(&key));
        assert_eq!(list.segments[0].map.as_ref().unwrap().uri, "from/master/init.mp4");
    }

    #[test]
    fn a_master_playlist_hands_on_what_it_declares() {
        let text = "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x\"\n#EXT-X-DEFINE:NAME=\"b\",VALUE=\"{$a}/y\"\n\
                    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"{$a}\",URI=\"{$b}/s\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"g\"\n{$b}/v\n";
        let Ok(HlsPlaylist::Master(master)) = read(text, "https://h/m", &[]) else { panic!("no master") };
        assert_eq!((&*master.variants[0].uri, master.renditions[0].uri.as_deref()), ("x/y/v", Some("x/y/s")));
        assert_eq!(master.variables.get("b").map(String::as_str), Some("x/y"));
    }

    #[test]
    fn what_makes_no_sense_is_an_error_and_no_value_is_said() {
        let twice = "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x\"\n";
        for (text, expected) in [
            (
                "#EXTINF:2,\n{$a}/1.ts\n".to_owned(),
                "line 4 of the playlist is \"{$a}/1.ts\": it names a variable that is not declared",
            ),
            (format!("#EXTINF:2,\n{{$a}}/1.ts\n{twice}"), "not declared before"),
            (format!("{twice}{twice}"), "for the second time"),
            (format!("{twice}#EXT-X-DEFINE:QUERYPARAM=\"a\"\n"), "no such parameter"),
            ("#EXT-X-DEFINE:NAME=\"a\"\n".to_owned(), "expected VALUE"),
            ("#EXT-X-DEFINE:VALUE=\"a\"\n".to_owned(), "expected one of NAME, IMPORT and QUERYPARAM"),
            ("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x\",IMPORT=\"path\"\n".to_owned(), "expected one of"),
            ("#EXT-X-DEFINE:NAME=\"a b\",VALUE=\"x\"\n".to_owned(), "a name of letters"),
            ("#EXT-X-DEFINE:IMPORT=\"other\"\n".to_owned(), "the master playlist declares no variable"),
            ("#EXT-X-DEFINE:QUERYPARAM=\"empty\"\n".to_owned(), "or an empty one"),
            ("#EXT-X-DEFINE:QUERYPARAM=\"bad\"\n".to_owned(), "characters that stand in no address"),
            (
                "#EXT-X-DEFINE:QUERYPARAM=\"token\"\n{$token}/1.ts\n".to_owned(),
                "{$token}/1.ts\": it is an address without",
            ),
            ("https://h/1.ts?token=secret\n".to_owned(), "\"https://h/1.ts?…\": it is an address without"),
        ] {
            let said = problem(&text);
            assert!(said.contains(expected) && !said.contains("secret"), "{text}: {said}");
        }
    }

    #[test]
    fn few_bytes_do_not_become_many() {
        let declared = |number: usize| format!("#EXT-X-DEFINE:NAME=\"n{number}\",VALUE=\"x\"\n");
        let many: String = (0..=MOST).map(declared).collect();
        assert!(problem(&many).contains("more than 100 variables"));
        let long = format!("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{}\"\n", "x".repeat(16_000));
        let doubled = format!("{long}#EXT-X-DEFINE:NAME=\"b\",VALUE=\"{}\"\n", "{$a}".repeat(4_000));
        assert!(problem(&doubled).contains("bytes of variables"));
        let often = format!("{long}{}", "#EXTINF:2,\n{$a}\n".repeat(1_000));
        assert!(problem(&often).contains("bytes of variables"));
    }
}
