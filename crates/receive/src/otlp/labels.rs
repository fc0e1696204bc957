//! From attributes to the labels of a series.

use std::collections::BTreeMap;

use super::value::Attribute;
use super::{Promote, Settings, name};
use crate::v1::put_label;
use crate::wire::{Fields, Malformed};

const SERVICE_NAME: &[u8] = b"service.name";
const SERVICE_NAMESPACE: &[u8] = b"service.namespace";
const SERVICE_INSTANCE: &[u8] = b"service.instance.id";

/// Largest labels that attributes of one place make, in bytes: each point copies them.
const BYTES_MAX: usize = 256 << 10;

/// Labels by name. Values may be no text; who stores them finds out.
pub(super) type Map = BTreeMap<String, Vec<u8>>;

/// What all series of a resource share.
#[derive(Debug, Default)]
pub(super) struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
    promoted: Map,
    /// `job` and `instance`, where they are known.
    identity: Map,
}

/// What all series of a scope share.
#[derive(Debug, Default)]
pub(super) struct Scope(Map);

impl<'a> Resource<'a> {
    /// Reads a `Resource`.
    pub(super) fn read(message: &'a [u8], settings: &Settings) -> Result<Self, Malformed> {
        let mut resource = Self::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                Attribute::push(&mut resource.attributes, &field)?;
            }
        }
        let get = |key: &[u8]| {
            let found = resource.attributes.iter().find(|attribute| attribute.key == key);
            found.map(Attribute::text).transpose()
        };
        if let Some(mut job) = get(SERVICE_NAME)? {
            if let Some(mut namespace) = get(SERVICE_NAMESPACE)? {
                namespace.push(b'/');
                namespace.append(&mut job);
                job = namespace;
            }
            resource.identity.insert("job".to_owned(), job);
        }
        if let Some(instance) = get(SERVICE_INSTANCE)? {
            resource.identity.insert("instance".to_owned(), instance);
        }
        let mut promoted: Vec<&Attribute<'_>> = resource.attributes.iter().collect();
        promoted.retain(|attribute| {
            let listed = |list: &[String]| list.iter().any(|key| key.as_bytes() == attribute.key);
            match &settings.promote {
                Promote::Only(list) => listed(list),
                Promote::AllBut(list) => !listed(list),
            }
        });
        promoted.sort_by_key(|attribute| attribute.key);
        let mut left = BYTES_MAX;
        for attribute in promoted {
            let name = name::label(&String::from_utf8_lossy(attribute.key), settings.names);
            let text = attribute.text()?;
            left = left.checked_sub(name.len() + text.len()).ok_or(Malformed::Crowded)?;
            resource.promoted.entry(name).or_insert(text);
        }
        Ok(resource)
    }

    /// The labels of a point with these attributes, without its name.
    pub(super) fn labels(
        &self,
        scope: &Scope,
        attributes: &[Attribute<'_>],
        settings: &Settings,
    ) -> Result<Map, Malformed> {
        let mut labels = merged(attributes.iter(), settings)?;
        for (name, value) in &self.promoted {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for (name, value) in scope.0.iter().chain(&self.identity) {
            labels.insert(name.clone(), value.clone());
        }
        Ok(labels)
    }

    /// The labels of `target_info`, without its name; `None` if the resource has nothing to tell
    /// or nobody to tell it of.
    pub(super) fn target(&self, settings: &Settings) -> Result<Option<Map>, Malformed> {
        let identifying = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE];
        let have = |key: &[u8]| self.attributes.iter().any(|attribute| attribute.key == key);
        let known = identifying.iter().filter(|key| have(key)).count();
        if self.attributes.len() == known {
            return Ok(None);
        }
        let told = self
            .attributes
            .iter()
            .filter(|attribute| settings.keep_identifying || !identifying.contains(&attribute.key));
        let mut labels = merged(told, settings)?;
        labels.extend(self.identity.clone());
        let named = labels.contains_key("job") || labels.contains_key("instance");
        Ok(Some(labels).filter(|_| named))
    }

    /// Bytes that every point of the resource copies.
    pub(super) fn shared_bytes(&self, scope: &Scope) -> usize {
        let maps = [&self.promoted, &self.identity, &scope.0];
        maps.into_iter().flatten().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl Scope {
    /// Reads an `InstrumentationScope`, where its data is to stand in labels.
    pub(super) fn read(
        message: &[u8],
        schema: &[u8],
        settings: &Settings,
    ) -> Result<Self, Malformed> {
        let (mut name, mut version, mut attributes) = (&[][..], &[][..], Vec::new());
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => name = field.bytes()?,
                2 => version = field.bytes()?,
                3 => Attribute::push(&mut attributes, &field)?,
                _ => {}
            }
        }
        let mut labels = Map::new();
        if settings.promote_scope && !name.is_empty() {
            for (key, value) in [("name", name), ("version", version), ("schema_url", schema)] {
                labels.insert(format!("otel_scope_{key}"), value.to_vec());
            }
            let mut left = BYTES_MAX;
            for attribute in attributes {
                let key = format!("otel_scope_{}", String::from_utf8_lossy(attribute.key));
                let text = attribute.text()?;
                left = left.checked_sub(key.len() + text.len()).ok_or(Malformed::Crowded)?;
                labels.insert(name::label(&key, settings.names), text);
            }
        }
        Ok(Self(labels))
    }
}

/// Attributes as labels; where several have the same name in the end, their values stand in one.
fn merged<'m, 'a: 'm>(
    attributes: impl Iterator<Item = &'m Attribute<'a>>,
    settings: &Settings,
) -> Result<Map, Malformed> {
    let mut sorted: Vec<&Attribute<'_>> = attributes.collect();
    sorted.sort_by_key(|attribute| attribute.key);
    let (mut labels, mut left) = (Map::new(), BYTES_MAX);
    for attribute in sorted {
        let name = name::label(&String::from_utf8_lossy(attribute.key), settings.names);
        let mut text = attribute.text()?;
        left = left.checked_sub(name.len() + text.len()).ok_or(Malformed::Crowded)?;
        match labels.get_mut(&name) {
            None => drop(labels.insert(name, text)),
            Some(have) => {
                have.push(b';');
                have.append(&mut text);
            }
        }
    }
    Ok(labels)
}

/// Writes labels as remote write has them.
pub(super) fn put(labels: &Map, out: &mut Vec<u8>) {
    for (name, value) in labels {
        put_label(out, name.as_bytes(), value);
    }
}
