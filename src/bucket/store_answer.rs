//! What a store says in XML: why it did not do something, which objects there are, and which uploads are open. Elements that are not named
//! here are passed over.

use std::borrow::Cow;
use std::time::SystemTime;

use chrono::DateTime;
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::archive::Timestamp;

/// Characters of a message that are kept.
const SHOWN: usize = 200;

/// Why it did not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorDocument {
    /// `NoSuchKey`; empty where there was none.
    pub(super) code: String,
    pub(super) message: String,
    /// Where the bucket is.
    pub(super) region: Option<String>,
}

impl ErrorDocument {
    /// The refusal in an answer that counts as a success: some are told when the answer has begun.
    pub(super) fn in_success(body: &[u8]) -> Option<Self> {
        (root(body)? == "Error").then(|| Self::read(body))
    }

    /// Whether it may go well the next time.
    pub(super) fn may_pass(&self) -> bool {
        matches!(&*self.code, "InternalError" | "SlowDown" | "ServiceUnavailable" | "RequestTimeout")
    }

    /// What there is to read; nothing if it is something else.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut read: Self = quick_xml::de::from_reader(body).unwrap_or_default();
        read.message = shortened(&read.message);
        read.code = shortened(&read.code);
        read.region = read.region.as_deref().map(shortened).filter(|region| !region.is_empty());
        read
    }
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(SHOWN).collect()
}

/// A document of which there is no other without its root: elements that are missing have a meaning of their own.
pub(super) trait Rooted: DeserializeOwned {
    const ROOT: &str;
}

/// A page of objects.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ObjectsDocument {
    pub(super) contents: Vec<ObjectEntry>,
    pub(super) is_truncated: bool,
    pub(super) next_continuation_token: Option<String>,
    encoding_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ObjectEntry {
    pub(super) key: String,
    pub(super) size: u64,
}

impl Rooted for ObjectsDocument {
    const ROOT: &str = "ListBucketResult";
}

impl ObjectsDocument {
    pub(super) fn key<'k>(&self, entry: &'k ObjectEntry) -> Cow<'k, str> {
        decoded(&entry.key, self.encoding_type.as_deref())
    }
}

/// A page of uploads that are not completed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UploadsDocument {
    upload: Vec<UploadEntry>,
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    encoding_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadEntry {
    key: String,
    upload_id: String,
    initiated: String,
}

impl Rooted for UploadsDocument {
    const ROOT: &str = "ListMultipartUploadsResult";
}

impl UploadsDocument {
    /// Where the next page begins: key and upload. An error if there is one and it is not said where.
    pub(super) fn next(&self) -> Result<Option<(String, String)>, ()> {
        if !self.is_truncated {
            return Ok(None);
        }
        let key = self.next_key_marker.as_deref().filter(|key| !key.is_empty()).ok_or(())?;
        let upload = self.next_upload_id_marker.clone().unwrap_or_default();
        Ok(Some((decoded(key, self.encoding_type.as_deref()).into_owned(), upload)))
    }

    /// Key, id, and when it was begun; those whose time cannot be read are left out.
    pub(super) fn uploads(&self) -> impl Iterator<Item = (Cow<'_, str>, &str, Timestamp)> {
        let encoding = self.encoding_type.as_deref();
        self.upload.iter().filter_map(move |entry| {
            let begun = DateTime::parse_from_rfc3339(&entry.initiated).ok()?;
            Some((decoded(&entry.key, encoding), &*entry.upload_id, Timestamp::from(SystemTime::from(begun))))
        })
    }
}

/// A key as it is: XML cannot hold some characters, and so it was asked for in an encoding, which not every store uses.
fn decoded<'k>(key: &'k str, encoding: Option<&str>) -> Cow<'k, str> {
    if encoding != Some("url") {
        return Cow::Borrowed(key);
    }
    // A plus that is meant is written as %2B.
    let blanks =
        if key.contains('+') { Cow::Owned(key.split('+').collect::<Vec<_>>().join(" ")) } else { Cow::Borrowed(key) };
    Cow::Owned(percent_decode_str(&blanks).decode_utf8_lossy().into_owned())
}

/// Reads a document; `None` if it is none of the kind.
pub(super) fn parse<T: Rooted>(body: &[u8]) -> Option<T> {
    if root(body)? != T::ROOT {
        return None;
    }
    quick_xml::de::from_reader(body).ok()
}

/// The name of the element that all others are in.
fn root(body: &[u8]) -> Option<String> {
    let mut reader = Reader::from_reader(body);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                return std::str::from_utf8(element.local_name().as_ref()).ok().map(str::to_owned);
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Text(text) if text.iter().all(u8::is_ascii_whitespace) => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_error_says_its_code_and_where_the_bucket_is() {
        let body = br#"<?xml version="1.0"?><Error><Code>PermanentRedirect</Code><Message> Go there </Message>
            <Region>eu-central-1</Region><HostId>x</HostId></Error>"#;
        let read = ErrorDocument::read(body);
        assert_eq!(
            (&*read.code, &*read.message, read.region.as_deref()),
            ("PermanentRedirect", "Go there", Some("eu-central-1"))
        );
        let long = format!("<Error><Code>{}</Code></Error>", "x".repeat(5_000));
        assert_eq!(ErrorDocument::read(long.as_bytes()).code.len(), SHOWN);
        assert_eq!(ErrorDocument::read(b"<html>no</html>"), ErrorDocument::default());
    }

    #[test]
    fn keys_are_decoded_where_the_store_has_encoded_them() {
        let page = |encoding: &str| {
            let text = format!(
                "<ListBucketResult xmlns=\"x\"><Name>b</Name>{encoding}<IsTruncated>true</IsTruncated>\
                 <NextContinuationToken>t</NextContinuationToken>\
                 <Contents><Key>a+%2B%0A&amp;</Key><Size>7</Size><ETag>e</ETag></Contents>\
                 <Contents><Key>b</Key><Size>8</Size></Contents></ListBucketResult>"
            );
            parse::<ObjectsDocument>(text.as_bytes()).unwrap()
        };
        let encoded = page("<EncodingType>url</EncodingType>");
        assert_eq!(encoded.key(&encoded.contents[0]), "a +\n&");
        assert_eq!((encoded.contents.len(), encoded.is_truncated, encoded.contents[1].size), (2, true, 8));
        let plain = page("");
        assert_eq!(plain.key(&plain.contents[0]), "a+%2B%0A&");
        let empty: ObjectsDocument =
            parse(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>").unwrap();
        assert!(empty.contents.is_empty() && !empty.is_truncated);
    }

    #[test]
    fn what_is_another_document_is_none_without_anything_in_it() {
        for other in [
            "<html><body>hello</body></html>",
            "<Error><Code>x</Code></Error>",
            "<!-- --><a/>",
            "{}",
            "",
            "x<ListBucketResult/>",
        ] {
            assert!(parse::<ObjectsDocument>(other.as_bytes()).is_none(), "{other}");
            assert!(parse::<UploadsDocument>(other.as_bytes()).is_none(), "{other}");
        }
        let refusal = "<?xml version=\"1.0\"?>\n<s3:Error><Code>SlowDown</Code></s3:Error>";
        assert!(
            ErrorDocument::in_success(refusal.as_bytes())
                .is_some_and(|said| said.code == "SlowDown" && said.may_pass())
        );
        assert_eq!(
            ErrorDocument::in_success(b"<CompleteMultipartUploadResult><Error/></CompleteMultipartUploadResult>"),
            None
        );
    }

    #[test]
    fn open_uploads_have_an_id_and_a_time() {
        let text = b"<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>u</UploadId>\
            <Initiated>2024-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>";
        let page: UploadsDocument = parse(text).unwrap();
        let (key, id, begun) = page.uploads().next().unwrap();
        assert_eq!((&*key, id, begun.us()), ("k", "u", 1_704_067_200_000_000));
        assert_eq!(page.next(), Ok(None));
        let more = |markers: &str| {
            let cut = format!(
                "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>{markers}\
                 </ListMultipartUploadsResult>"
            );
            parse::<UploadsDocument>(cut.as_bytes()).unwrap().next()
        };
        let told = more("<NextKeyMarker>a%2Fb</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>");
        assert_eq!(told, Ok(Some(("a/b".to_owned(), "u".to_owned()))));
        assert_eq!(more(""), Err(()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "(<[A-Za-z/]{1,9}>|[a-z0-9%&;]){0,30}") {
            for body in [&bytes[..], text.as_bytes()] {
                let _all = (ErrorDocument::read(body), parse::<ObjectsDocument>(body), parse::<UploadsDocument>(body));
            }
        }
    }
}
