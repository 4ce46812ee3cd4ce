//! Puts the files of the live page into the binary.
//!
//! What is in `web/` goes out under its own path; libraries go out under `/vendor/`, as the map
//! `capteur.vendor` in `web/package.json` says: `"lit-html.js": "lit-html/lit-html.js"` serves
//! `web/node_modules/lit-html/lit-html.js` as `/vendor/lit-html.js`.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

/// Folders of `web/` that are no part of the page.
const LEFT_OUT: [&str; 3] = ["node_modules", "test", "tests"];

fn main() -> Result<(), Box<dyn Error>> {
    let web = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("web");
    println!("cargo::rerun-if-changed={}", web.display());
    let mut files = BTreeMap::new();
    collect(&web, "/", &mut files)?;
    let index = files.remove("/index.html").ok_or("web/index.html is missing")?;
    files.insert("/".to_owned(), index);
    vendor(&web, &mut files)?;
    let table = table(&files)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("page.rs"), table)?;
    Ok(())
}

/// Every file of a folder that a browser may ask for, by its path on the hub.
fn collect(
    folder: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if !LEFT_OUT.contains(&name) {
                collect(&path, &format!("{prefix}{name}/"), files)?;
            }
        } else if content_type(name).is_some()
            && ![".test.js", ".config.js"].iter().any(|end| name.ends_with(end))
        {
            files.insert(format!("{prefix}{name}"), path);
        }
    }
    Ok(())
}

/// The libraries that the page uses.
fn vendor(web: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), Box<dyn Error>> {
    let package = fs::read_to_string(web.join("package.json"))
        .map_err(|error| format!("web/package.json: {error}"))?;
    let package: Value = serde_json::from_str(&package)
        .map_err(|error| format!("web/package.json is not JSON: {error}"))?;
    let Some(libraries) = package.pointer("/capteur/vendor") else { return Ok(()) };
    let libraries =
        libraries.as_object().ok_or("web/package.json: `capteur.vendor` is not an object")?;
    for (name, file) in libraries {
        let wrong = || format!("web/package.json: `capteur.vendor`: {name:?} leads to no file");
        if content_type(name).is_none() {
            return Err(
                format!("web/package.json: `capteur.vendor`: {name:?} has no known type").into()
            );
        }
        let file = file.as_str().ok_or_else(wrong)?;
        let path = web.join("node_modules").join(file);
        if !path.is_file() {
            let path = path.display();
            return Err(format!("{path} is missing: run `npm ci` in web/ first").into());
        }
        files.insert(format!("/vendor/{name}"), path);
    }
    Ok(())
}

/// The table as Rust has it.
fn table(files: &BTreeMap<String, PathBuf>) -> Result<String, Box<dyn Error>> {
    let mut table = String::from("static FILES: &[File] = &[\n");
    for (path, file) in files {
        let content = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        // Only the path of the index has no ending.
        let content_type = content_type(path).unwrap_or("text/html; charset=utf-8");
        let file = file.to_str().ok_or("the path of the project is not UTF-8")?;
        // Has to change with the content, and to be the same in every build of it: no more.
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        writeln!(
            table,
            "File {{ path: {path:?}, content_type: {content_type:?}, etag: {etag:?}, content: include_bytes!({file:?}) }},"
        )?;
    }
    table.push_str("];\n");
    Ok(table)
}

/// The media type of a file; `None` for what is no part of a page.
fn content_type(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => return None,
    })
}
