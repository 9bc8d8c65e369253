//! The import recipes this crate knows: text files under `recipes/`, compiled in.
//! Data only: nothing here opens a file.

use serde::Deserialize;
use thiserror::Error;

use crate::spec::{
    CaptureSpec, DetectorSpec, EmbedderSpec, Measured, ModelFile, PackSpec, PadSpec, ThresholdSpec,
};

/// Why a recipe cannot be used.
#[derive(Debug, Error)]
pub enum RecipeError {
    #[error("no recipe `{name}`; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("recipe `{name}` is for a {role}, not for a {wanted}")]
    Role { name: String, role: &'static str, wanted: &'static str },
    #[error("recipe `{name}` is not valid")]
    Invalid {
        name: String,
        #[source]
        source: toml::de::Error,
    },
}

/// Names of the recipes for whole packs.
pub fn pack_names() -> impl Iterator<Item = &'static str> {
    PACKS.iter().map(|(name, _)| *name)
}

/// Names of the recipes for single networks.
pub fn network_names() -> impl Iterator<Item = &'static str> {
    NETWORKS.iter().map(|(name, _)| *name)
}

/// The description a pack made by recipe `name` gets; `detector` and `embedder` take the place of the recipe's own
/// choice. A recipe without hash or rehearsal leaves them empty: they are taken when the file is there.
pub fn pack_spec(
    name: &str,
    detector: Option<&str>,
    embedder: Option<&str>,
) -> Result<PackSpec, RecipeError> {
    let recipe: PackRecipe = parsed(PACKS, name)?;
    Ok(PackSpec {
        version: 1,
        name: recipe.name,
        licence: recipe.licence,
        rights: recipe.rights,
        capture: recipe.capture,
        thresholds: recipe.thresholds,
        detector: detector_spec(detector.unwrap_or(&recipe.detector))?,
        embedder: embedder_spec(embedder.unwrap_or(&recipe.embedder))?,
        pad: recipe.pad.iter().map(|one| pad_spec(one)).collect::<Result<_, _>>()?,
        measured: recipe.measured,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackRecipe {
    name: String,
    licence: String,
    rights: String,
    detector: String,
    embedder: String,
    pad: Vec<String>,
    capture: CaptureSpec,
    thresholds: ThresholdSpec,
    #[serde(default)]
    measured: Vec<Measured>,
}

#[derive(Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum NetworkRecipe {
    Detector(DetectorSpec),
    Embedder(EmbedderSpec),
    Pad(PadSpec),
}

impl NetworkRecipe {
    fn role(&self) -> &'static str {
        match self {
            Self::Detector(_) => "detector",
            Self::Embedder(_) => "embedder",
            Self::Pad(_) => "pad",
        }
    }

    fn misplaced(&self, name: &str, wanted: &'static str) -> RecipeError {
        RecipeError::Role { name: name.to_owned(), role: self.role(), wanted }
    }
}

/// All files of a pack, in the order of its description.
pub(crate) fn files(spec: &PackSpec) -> impl Iterator<Item = &ModelFile> {
    [&spec.detector.file, &spec.embedder.file].into_iter().chain(spec.pad.iter().map(|pad| &pad.file))
}

pub(crate) fn detector_spec(name: &str) -> Result<DetectorSpec, RecipeError> {
    match parsed(NETWORKS, name)? {
        NetworkRecipe::Detector(spec) => Ok(spec),
        other @ (NetworkRecipe::Embedder(_) | NetworkRecipe::Pad(_)) => {
            Err(other.misplaced(name, "detector"))
        }
    }
}

pub(crate) fn embedder_spec(name: &str) -> Result<EmbedderSpec, RecipeError> {
    match parsed(NETWORKS, name)? {
        NetworkRecipe::Embedder(spec) => Ok(spec),
        other @ (NetworkRecipe::Detector(_) | NetworkRecipe::Pad(_)) => {
            Err(other.misplaced(name, "embedder"))
        }
    }
}

fn pad_spec(name: &str) -> Result<PadSpec, RecipeError> {
    match parsed(NETWORKS, name)? {
        NetworkRecipe::Pad(spec) => Ok(spec),
        other @ (NetworkRecipe::Detector(_) | NetworkRecipe::Embedder(_)) => {
            Err(other.misplaced(name, "pad"))
        }
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(among: &[(&str, &str)], name: &str) -> Result<T, RecipeError> {
    let Some((_, text)) = among.iter().find(|(known, _)| *known == name) else {
        let known = among.iter().map(|(known, _)| format!("`{known}`")).collect::<Vec<_>>().join(", ");
        return Err(RecipeError::Unknown { name: name.to_owned(), known });
    };
    toml::from_str(text).map_err(|source| RecipeError::Invalid { name: name.to_owned(), source })
}

const PACKS: &[(&str, &str)] = &[
    ("reference", include_str!("../recipes/reference.toml")),
    ("opencv-zoo", include_str!("../recipes/opencv-zoo.toml")),
    ("arcface", include_str!("../recipes/arcface.toml")),
];

const NETWORKS: &[(&str, &str)] = &[
    ("yunet-n-320", include_str!("../recipes/yunet-n-320.toml")),
    ("yunet-n-640", include_str!("../recipes/yunet-n-640.toml")),
    ("yunet-s-320", include_str!("../recipes/yunet-s-320.toml")),
    ("yunet-s-640", include_str!("../recipes/yunet-s-640.toml")),
    ("mobilefacenet", include_str!("../recipes/mobilefacenet.toml")),
    ("sface", include_str!("../recipes/sface.toml")),
    ("arcface-112", include_str!("../recipes/arcface-112.toml")),
    ("minifasnet-v2", include_str!("../recipes/minifasnet-v2.toml")),
    ("minifasnet-v1se", include_str!("../recipes/minifasnet-v1se.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_parses() {
        for name in network_names() {
            parsed::<NetworkRecipe>(NETWORKS, name).unwrap();
        }
        for name in pack_names() {
            pack_spec(name, None, None).unwrap();
        }
    }

    #[test]
    fn every_recipe_file_is_compiled_in() {
        // Asked at run time: checkouts may share one folder of build results.
        let folder =
            std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("recipes");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), NETWORKS.len() + PACKS.len());
    }

    #[test]
    fn wrong_names_are_named() {
        let unknown = pack_spec("reference", Some("retina"), None).unwrap_err();
        assert!(unknown.to_string().starts_with("no recipe `retina`; there are: `yunet-n-320`"), "{unknown}");
        let role = pack_spec("reference", Some("mobilefacenet"), None).unwrap_err();
        assert_eq!(role.to_string(), "recipe `mobilefacenet` is for a embedder, not for a detector");
    }
}
