//! Sizes that may differ from layer to layer.

use serde_json::Value as Json;

use super::Config;
use crate::error::Error;

impl Config<'_> {
    /// Reads a size that the file gives once for all `layers` or in a list, one value per layer. The result has one value per layer.
    pub(crate) fn sizes(&self, key: &str, layers: usize) -> Result<Option<Vec<usize>>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let Json::Array(list) = value else { return Ok(self.size(key)?.map(|size| vec![size; layers])) };
        let elements = self.lists.get(key).copied().unwrap_or(list.len());
        if elements != layers {
            let detail = format!("is an array of {elements} elements; expected one for each of {layers} layers");
            return Err(self.wrong(key, detail));
        }
        let whole = |value: &Json| value.as_u64().filter(|n| *n <= 1 << 32).map(|n| n as usize);
        let sizes: Option<Vec<usize>> = list.iter().map(whole).collect();
        sizes.filter(|sizes| sizes.len() == layers).map(Some).ok_or_else(|| {
            let shown: Vec<String> = list.iter().take(4).map(super::json::shown).collect();
            self.wrong(key, format!("is an array of {}, ..; expected whole numbers up to 2^32", shown.join(", ")))
        })
    }

    /// Reads sizes above 0 as [`sizes`](Self::sizes). A `config.json` may leave the value to its family's `default`; a GGUF file must
    /// have it.
    pub(crate) fn sizes_or(&self, key: &str, layers: usize, default: usize) -> Result<Vec<usize>, Error> {
        let sizes = self.or_default(key, self.sizes(key, layers)?, vec![default; layers])?;
        if sizes.contains(&0) { Err(self.wrong(key, "is 0; expected at least 1")) } else { Ok(sizes) }
    }
}
