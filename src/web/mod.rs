//! The engine's face in JavaScript: a loader that takes a model's files, an engine that chats, and the dials that are turned
//! while it does. Types are in `web.d.ts`, and in `www/src/mar/types.ts` those that pages see.
//!
//! Everything that may wait is a promise, on every backend, so that a page is written once for all of them.

mod aside;
mod backend;
mod chat;
mod dials;
mod engine;
mod listener;
mod options;
mod rescue;
mod spikes;
mod token;

pub use dials::Dials;
pub use engine::{Engine, ModelLoader};

use serde::Serialize;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("web.d.ts");

/// Makes a panic, which is a fault of ours, readable in the browser's console.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// The sha-256 of some bytes in hexadecimal digits, for pages that were not served safely enough to have WebCrypto.
#[wasm_bindgen]
pub fn sha256(bytes: &[u8]) -> String {
    crate::format::sha256_hex(bytes)
}

/// A plain JavaScript object with the fields of `value`.
fn to_js(value: &impl Serialize) -> Result<JsValue, JsError> {
    serde_wasm_bindgen::to_value(value).map_err(JsError::from)
}
