//! In the `OpenAPI` document, texts stand where they are used.
//!
//! Times, hours and names have types of their own in the program, and are strings to everybody else: a client that is made from the document
//! shall not have a type for each.

use std::collections::BTreeMap;

use utoipa::openapi::schema::{Array, ArrayItems, Object, OneOf, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr};

/// Where components are, in a reference.
const COMPONENTS: &str = "#/components/schemas/";

/// Puts each text in the place of what refers to it.
pub(super) fn put_in_place(document: &mut OpenApi) {
    let Some(components) = &mut document.components else { return };
    let schemas = std::mem::take(&mut components.schemas);
    let (mut texts, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (name, schema) in schemas {
        match schema {
            RefOr::T(Schema::Object(text)) if is_text(&text) => drop(texts.insert(name, text)),
            other => drop(others.insert(name, other)),
        }
    }
    settle_all(others.values_mut(), &texts);
    components.schemas = others;
}

/// Words of which there are few have a schema of their own, which lists them.
fn is_text(schema: &Object) -> bool {
    schema.schema_type == SchemaType::new(Type::String) && schema.enum_values.is_none()
}

fn settle_all<'s>(schemas: impl Iterator<Item = &'s mut RefOr<Schema>>, texts: &BTreeMap<String, Object>) {
    for schema in schemas {
        settle(schema, texts);
    }
}

fn settle(schema: &mut RefOr<Schema>, texts: &BTreeMap<String, Object>) {
    match schema {
        RefOr::Ref(reference) => {
            let text = reference.ref_location.strip_prefix(COMPONENTS).and_then(|name| texts.get(name));
            if let Some(text) = text {
                let description = Some(reference.description.clone()).filter(|said| !said.is_empty());
                let mut text = text.clone();
                text.description = description;
                *schema = RefOr::T(Schema::Object(text));
            }
        }
        RefOr::T(Schema::Object(object)) => settle_all(object.properties.values_mut(), texts),
        RefOr::T(Schema::Array(Array { items: ArrayItems::RefOrSchema(item), .. })) => settle(item, texts),
        RefOr::T(Schema::AllOf(all)) => settle_all(all.items.iter_mut(), texts),
        RefOr::T(Schema::OneOf(one)) => {
            settle_all(one.items.iter_mut(), texts);
            if let Some(text) = text_or_nothing(one) {
                *schema = RefOr::T(Schema::Object(text));
            }
        }
        RefOr::T(_) => {}
    }
}

/// A text that may be absent, as a schema without alternatives.
fn text_or_nothing(one: &OneOf) -> Option<Object> {
    let [RefOr::T(Schema::Object(text)), RefOr::T(Schema::Object(nothing))] = one.items.as_slice() else { return None };
    if nothing.schema_type != SchemaType::new(Type::Null) || !is_text(text) {
        return None;
    }
    let mut text = text.clone();
    text.schema_type = SchemaType::from_iter([Type::String, Type::Null]);
    text.description = text.description.or_else(|| one.description.clone());
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::test_node::TestNode;

    #[tokio::test]
    async fn times_and_hours_are_strings_where_they_are_used() {
        let node = TestNode::new();
        let document: Value = node.get("/api/v1/openapi.json").await;
        let schemas = &document["components"]["schemas"];
        let property = |of: &str, name: &str| {
            let mut found = schemas[of]["properties"][name].clone();
            assert!(found["description"].as_str().is_some_and(|said| !said.is_empty()), "{of}: {name}");
            found.as_object_mut().unwrap().remove("description");
            found
        };
        assert_eq!(property("SegmentRecord", "start"), json!({ "type": "string", "format": "date-time" }));
        assert_eq!(property("SegmentRecord", "hour"), json!({ "type": "string" }));
        assert_eq!(property("SegmentRecord", "type"), json!({ "type": "string" }));
        assert_eq!(property("StreamStatus", "first_hour"), json!({ "type": ["string", "null"] }));
        let next = json!({ "type": ["string", "null"], "format": "date-time" });
        assert_eq!(property("CoverageList", "next"), next);
        assert_eq!(property("RetentionView", "kept"), json!({ "type": "array", "items": { "type": "string" } }));
        for (name, schema) in schemas.as_object().unwrap() {
            assert!(schema["type"] != "string" || schema["enum"].is_array(), "{name} is a text");
        }
    }
}
