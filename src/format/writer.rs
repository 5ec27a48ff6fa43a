//! A model's files from a model in memory: the inverse of the reader, for models that are made here.

use std::borrow::Cow;

use serde_json::json;

use super::layout::{Dtype, tensors};
use super::manifest::Manifest;
use super::pieces;
use crate::config::Site;
use crate::model::Model;

/// config.json, the weights, in pieces where they are large, and manifest.json: (name, contents).
pub fn files(model: &Model) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("config.json".into(), model.config.to_json().into_bytes())];
    files.extend(pieces::split(weights(model)));
    let manifest = Manifest::of(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    files.push(("manifest.json".into(), manifest.to_json().into_bytes()));
    files
}

/// `model.safetensors`; the same model gives the same bytes, which the safetensors crate's own writer does not promise.
pub fn weights(model: &Model) -> Vec<u8> {
    let specs = tensors(&model.config);
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!({"format": "mar", "format_version": "1"}));
    let mut end = 0;
    for spec in &specs {
        let dtype = match spec.dtype {
            Dtype::F32 => "F32",
            Dtype::U8 => "U8",
        };
        let start = end;
        end += spec.bytes();
        header.insert(spec.name.clone(), json!({"dtype": dtype, "shape": spec.shape, "data_offsets": [start, end]}));
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // Data begins at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.append(&mut header);
    specs.iter().for_each(|spec| file.extend_from_slice(&tensor_bytes(model, &spec.name)));
    file
}

/// The little-endian bytes of a tensor of `tensors(&model.config)`; of another name, none.
pub(crate) fn tensor_bytes<'a>(model: &'a Model, name: &str) -> Cow<'a, [u8]> {
    let floats = |values: &[f32]| Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect());
    match name {
        "embed.weight" => return Cow::Borrowed(&model.embed.data),
        "embed.scale" => return floats(&model.embed_scale),
        "final_norm.weight" => return floats(&model.final_norm),
        _ => {}
    }
    let mut path = name.splitn(3, '.').skip(1);
    let layer = path.next().and_then(|number| number.parse().ok()).and_then(|number: usize| model.layers.get(number));
    let (Some(layer), Some(part)) = (layer, path.next()) else { return Cow::Borrowed(&[]) };
    match part {
        "norm_mixer.weight" => floats(&layer.norm_mixer),
        "conv.weight" => floats(&layer.conv_weight),
        "conv.bias" => floats(&layer.conv_bias),
        "dt_bias" => floats(&layer.dt_bias),
        "A" => floats(&layer.a),
        "D" => floats(&layer.d),
        "norm_gated.weight" => floats(&layer.norm_gated),
        "norm_ffn.weight" => floats(&layer.norm_ffn),
        _ => {
            let site = Site::ALL.into_iter().find(|site| part.starts_with(site.name()));
            let Some(projection) = site.map(|site| layer.projection(site)) else { return Cow::Borrowed(&[]) };
            match part.rsplit('.').next() {
                Some("inv_threshold") => floats(&projection.inv_threshold),
                Some("scale") => floats(&projection.scale),
                Some("weight") => Cow::Borrowed(&projection.weight.data),
                _ => Cow::Borrowed(&[]),
            }
        }
    }
}
