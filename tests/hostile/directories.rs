//! Model directories.

use std::fs::{self, File};
use std::path::Path;

use mar::config::Config;
use mar::format::{self, FormatError, Manifest, WEIGHTS, WeightsReader, tensors};

use crate::{MOST, alone, model_directory, refused};

/// A copy of a good model, without its manifest, after `edit`.
fn copy(edit: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["config.json", WEIGHTS] {
        fs::copy(model_directory("tiny-odd").join(file), folder.path().join(file)).expect("a copy");
    }
    edit(folder.path());
    folder
}

fn refused_directory(what: &str, says: &str, edit: impl FnOnce(&Path)) {
    let folder = copy(edit);
    refused(what, says, MOST, || format::open(folder.path(), |_, _| {}));
}

/// A file that seems to have so many bytes, and takes no room.
fn sparse(path: &Path, bytes: u64) {
    File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .expect("a file")
        .set_len(bytes)
        .expect("a size");
}

#[test]
fn manifests_like_zip_bombs() {
    let _alone = alone();
    let head = r#"{"format": "mar-manifest", "format_version": 1, "chunk_bytes": 1048576, "files": ["#;
    let hash = "0".repeat(64);
    let entry = |path: &str, bytes: u64, chunks: &str| {
        format!(
            r#"{{"path": {}, "bytes": {bytes}, "sha256": "{hash}", "chunks": [{chunks}]}}"#,
            serde_json::json!(path)
        )
    };
    let many: Vec<String> = (0..60_000).map(|n| entry(&format!("f{n}"), 0, "")).collect();
    let empty_chunks = vec!["\"\""; 2_700_000].join(",");
    for (what, says, json) in [
        ("60,000 files", "lists 60000 files, expected at most 1000", format!("{head}{}]}}", many.join(","))),
        (
            "2,700,000 chunks",
            "has 2700000 chunk hashes, expected 1",
            format!("{head}{}]}}", entry("a", 1, &empty_chunks)),
        ),
        ("a file of 2^64 bytes", "has 0 chunk hashes", format!("{head}{}]}}", entry("a", u64::MAX, ""))),
        (
            "a name of megabytes",
            "is not a plain file name",
            format!("{head}{}]}}", entry(&"é".repeat(3_000_000), 0, "")),
        ),
        (
            "a hash of megabytes",
            "expected 64",
            format!("{head}{}]}}", entry("a", 0, "").replace(&hash, &hash.repeat(100_000))),
        ),
        ("lists in lists", "is not a MAR manifest", "[".repeat(8 << 20)),
        ("maps in maps", "is not a MAR manifest", "{\"files\":".repeat(800_000)),
        ("a key of megabytes", "is not a MAR manifest", format!("{{\"{}\": 1}}", "k".repeat(7_000_000))),
    ] {
        assert!(json.len() <= 8 << 20, "{what} is longer than is read");
        refused(what, says, MOST, || Manifest::parse(json.as_bytes()));
        refused_directory(what, says, |folder| fs::write(folder.join("manifest.json"), &json).expect("a file"));
    }
    refused_directory("a manifest of 400 MB", "expected at most 8388608", |folder| {
        sparse(&folder.join("manifest.json"), 400_000_000);
    });
}

#[test]
fn names_that_leave_the_directory() {
    let _alone = alone();
    let good = fs::read_to_string(model_directory("tiny-odd").join("manifest.json")).expect("a manifest");
    for name in
        ["../config.json", "/etc/passwd", "..", ".", "", "a/b", "a\\\\b", "C:x", ".hidden", "a\\u0000", "%2e%2e", "é"]
    {
        let bad = good.replacen("\"config.json\"", &format!("\"{name}\""), 1);
        assert_ne!(bad, good);
        refused(name, "is not a plain file name", MOST, || Manifest::parse(bad.as_bytes()));
    }
    let twice = good.replacen("\"config.json\"", "\"model.safetensors\"", 1);
    refused("a name twice", "is listed twice", MOST, || Manifest::parse(twice.as_bytes()));
}

#[test]
fn configs_with_absurd_numbers() {
    let _alone = alone();
    let good = fs::read_to_string(model_directory("tiny-odd").join("config.json")).expect("a config");
    let of = |key: &str| {
        let at = good.find(&format!("\"{key}\":")).expect("a key");
        let rest = &good[at..];
        rest[..rest.find([',', '\n']).expect("an end")].to_owned()
    };
    for key in
        ["vocab_size", "d_model", "n_layers", "d_ffn", "n_heads", "head_dim", "d_state", "n_groups", "d_conv", "window"]
    {
        for number in ["18446744073709551615", "1e400", "-1", "3.5", "4294967296", "99999999999999999999999"] {
            let json = good.replacen(&of(key), &format!("\"{key}\": {number}"), 1);
            refused(&format!("{key} {number}"), "config.json", 1 << 20, || Config::parse(json.as_bytes()));
        }
    }
    let long = good.replacen("tiny-odd", &"x".repeat(900_000), 1);
    refused("a long name", "name is", MOST, || Config::parse(long.as_bytes()));
    refused_directory("a config of 2 MB", "expected at most 1048576", |f| sparse(&f.join("config.json"), 2_000_000));
    refused_directory("a config in itself", "is not a MAR configuration", |f| {
        fs::write(f.join("config.json"), "{\"format\":".repeat(90_000)).expect("a file");
    });
}

/// Weights with another header.
fn with_header(folder: &Path, edit: impl FnOnce(&str) -> String) {
    let path = folder.join(WEIGHTS);
    let bytes = fs::read(&path).expect("a file");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = edit(std::str::from_utf8(&bytes[8..8 + length]).expect("text"));
    let data = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat();
    fs::write(path, data).expect("a file");
}

#[test]
fn headers_that_lie() {
    let _alone = alone();
    let first = |header: &str, key: &str| {
        let at = header.find(key).expect("a key");
        header[at..at + header[at..].find(']').expect("an end") + 1].to_owned()
    };
    for (what, says, key, value) in [
        ("a huge shape", "is not safetensors", "\"shape\":[", "\"shape\":[9223372036854775807,9223372036854775807]"),
        ("a shape beyond 64 bits", "is not safetensors", "\"shape\":[", "\"shape\":[99999999999999999999]"),
        ("a negative shape", "is not safetensors", "\"shape\":[", "\"shape\":[-1]"),
        ("a negative offset", "is not safetensors", "\"data_offsets\":[", "\"data_offsets\":[-4,0]"),
        (
            "an offset beyond the file",
            "is not safetensors",
            "\"data_offsets\":[",
            "\"data_offsets\":[0,18446744073709551615]",
        ),
        ("offsets backwards", "is not safetensors", "\"data_offsets\":[", "\"data_offsets\":[8,4]"),
    ] {
        refused_directory(what, says, |f| with_header(f, |h| h.replacen(&first(h, key), value, 1)));
    }
    let offsets = |header: &str| {
        let mut all: Vec<String> =
            header.match_indices("\"data_offsets\":[").map(|(at, _)| first(&header[at..], "\"data")).collect();
        all.dedup();
        all
    };
    refused_directory("tensors that overlap", "is not safetensors", |f| {
        with_header(f, |h| h.replacen(&offsets(h)[1], &offsets(h)[0], 1));
    });
    refused_directory("a name twice", "model.safetensors", |f| {
        with_header(f, |h| h.replacen("\"layers.0.A\"", "\"final_norm.weight\"", 1));
    });
    refused_directory("a gap", "is not safetensors", |f| {
        with_header(f, |h| h.replacen("\"data_offsets\":[0,", "\"data_offsets\":[4,", 1));
    });
    refused_directory("lists in lists", "recursion limit", |f| with_header(f, |_| "{\"a\":".repeat(800_000)));
    refused_directory("a shape of millions", "is not safetensors", |f| {
        with_header(f, |h| {
            h.replacen(&first(h, "\"shape\":["), &format!("\"shape\":[{}1]", "1,".repeat(2_000_000)), 1)
        });
    });
    refused_directory("a tensor's name of megabytes", "model.safetensors", |f| {
        with_header(f, |h| h.replacen("final_norm.weight", &"x".repeat(4_000_000), 1));
    });
    refused_directory("60,000 tensors", "model.safetensors", |f| {
        with_header(f, |_| {
            let tensors: Vec<String> =
                (0..60_000).map(|n| format!(r#""{n}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)).collect();
            format!(r#"{{"__metadata__":{{"format":"mar","format_version":"1"}},{}}}"#, tensors.join(","))
        });
    });
    refused_directory("a header of 5 MiB", "expected at most 4194304", |f| with_header(f, |_| " ".repeat(5 << 20)));
}

#[test]
fn files_of_other_sizes_than_they_say() {
    let _alone = alone();
    let weights = |f: &Path| f.join(WEIGHTS);
    let length = fs::metadata(model_directory("tiny-odd").join(WEIGHTS)).expect("a file").len();
    refused_directory("weights of a terabyte", "header and config.json make it", |f| sparse(&weights(f), 1 << 40));
    refused_directory("a byte too few", "header and config.json make it", |f| sparse(&weights(f), length - 1));
    refused_directory("a byte too many", "header and config.json make it", |f| sparse(&weights(f), length + 1));
    refused_directory("nothing", "bytes", |f| fs::write(weights(f), []).expect("a file"));
    refused_directory("a folder in place of a file", "it is not a plain file", |f| {
        fs::remove_file(weights(f)).expect("a file");
        fs::create_dir(weights(f)).expect("a folder");
    });
    #[cfg(unix)]
    refused_directory("a pipe, which nobody fills", "it is not a plain file", |f| {
        fs::remove_file(weights(f)).expect("a file");
        assert!(std::process::Command::new("mkfifo").arg(weights(f)).status().expect("mkfifo").success());
    });
    #[cfg(unix)]
    refused_directory("a device that never ends", "it is not a plain file", |f| {
        fs::remove_file(weights(f)).expect("a file");
        std::os::unix::fs::symlink("/dev/zero", weights(f)).expect("a link");
    });
}

/// A network of the largest matrices, whose bytes do not come: memory is taken as they come, not as they are announced.
#[test]
fn large_tensors_that_do_not_come() {
    let _alone = alone();
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(model_directory("tiny-odd").join("config.json")).expect("a config"))
            .expect("JSON");
    (json["vocab_size"], json["d_model"]) = (262_144.into(), 8_192.into());
    json["weights"] = serde_json::json!(["ternary", "ternary", "ternary", "ternary"]);
    (json["steps"], json["embed_weights"]) = (serde_json::json!([1, 1, 1, 1]), "int8".into());
    let config = Config::parse(json.to_string().as_bytes()).expect("a config within the limits");
    refused("2 GiB announced, 1 MiB sent", "bytes", MOST, || -> Result<_, FormatError> {
        let mut specs = tensors(&config);
        // The embedding first.
        specs.sort_by_key(|spec| (spec.name != "embed.weight", spec.bytes() % 4 != 0));
        let mut at = 0;
        let mut entries = vec![r#""__metadata__":{"format":"mar","format_version":"1"}"#.to_owned()];
        for spec in &specs {
            let kind = if spec.name.ends_with(".weight") && spec.shape.len() == 2 && !spec.name.contains("conv") {
                "U8"
            } else {
                "F32"
            };
            let end = at + spec.bytes();
            entries.push(format!(
                r#""{}":{{"dtype":"{kind}","shape":{:?},"data_offsets":[{at},{end}]}}"#,
                spec.name, spec.shape
            ));
            at = end;
        }
        let header = format!("{{{}}}", entries.join(","));
        let mut reader = WeightsReader::new(&config, 8 + header.len() as u64 + at);
        reader.push(&(header.len() as u64).to_le_bytes(), |_, _| {})?;
        reader.push(header.as_bytes(), |_, _| {})?;
        reader.push(&vec![0; 1 << 20], |_, _| {})?;
        reader.finish()
    });
}
