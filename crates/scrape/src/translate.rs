//! Bodies that are rewritten before they are read: as text, so that stencil, relabelling and
//! limits work on them as on any other.
//!
//! Protobuf bodies become text; where `convert_classic_histograms_to_nhcb` is on, the series of
//! classic histograms become native ones in bodies of any format. A native histogram is one line
//! for each of its parts, with the label that nothing from outside may have.

use narthex_config::ScrapeConfig;
use narthex_expo::protobuf::{Exemplar, Item, NativeHistogram, ProtobufError, Wanted, read};
use narthex_expo::{Format, Piece, Walk};
use narthex_model::{Histogram, Labels, LabelsBuilder, METRIC_NAME, PART, Timestamp};
use narthex_store::Part;

use self::classic::{Gather, Series};
use self::text::{Text, open_metrics};

mod classic;
mod text;

/// Longest line of a text body, in bytes; where it is longer the body is not rewritten on.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of text that a body may become.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Why a binary body cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// It cannot be read.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// It would be too much text.
    #[error("protobuf body too large: more than {TEXT_BYTES_MAX} bytes as text")]
    TooLarge,
    /// A label has the name that is kept for parts.
    #[error("invalid label name: \"\\x01\" is reserved")]
    Reserved,
    /// A histogram has more buckets than `native_histogram_bucket_limit` in every resolution.
    #[error("histogram bucket limit exceeded (limit: {0})")]
    TooManyBuckets(u64),
}

/// What a body was before it was made text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// Its bytes.
    pub bytes: usize,
    /// Lines that are no samples of their own: the parts of histograms beyond one each.
    pub extra_lines: u32,
}

/// An exemplar of a body that was made text, which has no place for it.
#[derive(Clone, Debug, PartialEq)]
pub struct LineExemplar {
    /// The number of the sample that it belongs to, in the order of the lines.
    pub sample: u32,
    /// Its labels.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When, if it tells.
    pub at: Option<Timestamp>,
}

impl LineExemplar {
    fn new(exemplar: &Exemplar<'_>) -> Self {
        let Exemplar { labels, value, at } = exemplar;
        let labels = Labels::from_pairs(labels.iter().copied());
        Self { sample: 0, labels, value: *value, at: *at }
    }

    fn of_text(exemplar: &narthex_expo::Exemplar<'_>) -> Self {
        let mut labels = Vec::new();
        exemplar.each_label(|name, value| labels.push((name, value)));
        let labels = Labels::from_pairs(labels);
        Self { sample: 0, labels, value: exemplar.value, at: exemplar.at }
    }
}

/// Whether bodies of text are rewritten, too.
pub(crate) fn rewrites_text(config: &ScrapeConfig) -> bool {
    config.convert_classic_histograms_to_nhcb == Some(true)
}

/// Appends a protobuf `body` as text to `out`, and its exemplars to `exemplars` where that is
/// given.
pub(crate) fn translate(
    body: &[u8],
    config: &ScrapeConfig,
    out: &mut Vec<u8>,
    exemplars: Option<&mut Vec<LineExemplar>>,
) -> Result<Translated, TranslateError> {
    let wanted = Wanted {
        native: config.scrape_native_histograms == Some(true),
        classic_too: config.always_scrape_classic_histograms == Some(true),
        exemplars: exemplars.is_some(),
    };
    let text = Text::new(out, config, exemplars);
    let gather = rewrites_text(config).then(Gather::default);
    let mut translation = Translation { text, gather, keep: wanted.classic_too };
    read(body, wanted, &mut |item| {
        translation.item(item)?;
        translation.text.check()
    })?;
    let Translation { mut text, gather, .. } = translation;
    if let Some(mut gather) = gather {
        gather.flush(&mut text)?;
    }
    Ok(text.done(body))
}

/// A protobuf body on its way to text.
struct Translation<'t> {
    text: Text<'t>,
    /// Where classic histograms are converted.
    gather: Option<Gather>,
    /// Whether the classic form of what is converted is kept.
    keep: bool,
}

impl Translation<'_> {
    fn item(&mut self, item: Item<'_>) -> Result<(), TranslateError> {
        let Self { text, gather, keep } = self;
        match item {
            Item::Family { name, kind, help } => {
                if let Some(gather) = gather {
                    gather.family(text, name, kind)?;
                }
                text.family(name, kind, help);
                Ok(())
            }
            Item::Number { name, labels, bound, value, at, exemplar } => {
                let stamp = at.map(|at| at.to_string()).unwrap_or_default();
                let stamp = stamp.as_bytes();
                let mut exemplar = exemplar.map(|exemplar| LineExemplar::new(&exemplar));
                if let Some(gather) = gather {
                    let le = bound.filter(|(label, _)| *label == "le").map(|(_, bound)| bound);
                    let series = Series::new(name, owned(labels), le, value);
                    if gather.series(text, series, stamp, exemplar.as_ref())? {
                        if !*keep {
                            return Ok(());
                        }
                        exemplar = None;
                    }
                }
                let bound = bound.map(|(label, bound)| (label, open_metrics(bound)));
                let extra = bound.as_ref().map(|(label, bound)| (*label, bound.as_str()));
                text.number(name, labels, extra, value, stamp, exemplar)
            }
            Item::Histogram { name, labels, value, at, exemplars } => {
                if let Some(gather) = gather {
                    gather.native(text, name, owned(labels))?;
                }
                let NativeHistogram { histogram, integer } = value;
                let stamp = at.map(|at| at.to_string()).unwrap_or_default();
                let exemplars = exemplars.iter().map(LineExemplar::new).collect();
                text.histogram(name, labels, (histogram, integer), stamp.as_bytes(), exemplars)
            }
        }
    }
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(labels.iter().copied())
}

/// Writes a `body` of text to `out`, its classic histograms as native ones. A faulty body stays as
/// it is: who reads it will say what is wrong where.
pub(crate) fn rewrite(
    body: &[u8],
    format: Format,
    config: &ScrapeConfig,
    out: &mut Vec<u8>,
    exemplars: Option<&mut Vec<LineExemplar>>,
) -> Result<Translated, TranslateError> {
    let wants_exemplars = exemplars.is_some();
    let keep = config.always_scrape_classic_histograms == Some(true);
    let mut text = Text::new(out, config, exemplars);
    let (mut gather, mut labels) = (Gather::default(), LabelsBuilder::default());
    let mut walk = Walk::new(body, format, LINE_BYTES_MAX);
    while let Some(piece) = walk.next(&mut labels) {
        match piece {
            Piece::Between { text: lines, family } => {
                if lines.contains(&b'#') {
                    gather.flush(&mut text)?;
                }
                if let Some((name, kind)) = family {
                    gather.family(&mut text, &name, kind)?;
                }
                text.raw(lines);
            }
            Piece::Sample { line, bare, value, stamp, exemplar } => {
                if line.contains(&1) && labels.get(PART).is_some() {
                    return Err(TranslateError::Reserved);
                }
                let name = labels.get(METRIC_NAME).unwrap_or("");
                if format == Format::OpenMetrics && gather.is_creation(name) {
                    continue;
                }
                let taken = if gather.may_take() {
                    let series = Series::of(&labels, value);
                    let exemplar = exemplar.filter(|_| wants_exemplars);
                    let exemplar = exemplar.as_ref().map(LineExemplar::of_text);
                    gather.series(&mut text, series, stamp, exemplar.as_ref())?
                } else {
                    gather.flush(&mut text)?;
                    false
                };
                // As in Prometheus, the histogram takes the exemplars of its series along.
                match (taken, keep) {
                    (false, _) => text.raw_sample(line),
                    (true, true) => text.raw_sample(bare),
                    (true, false) => {}
                }
            }
        }
        text.check()?;
    }
    if !walk.rest().is_empty() {
        return Ok(text.give_up(body));
    }
    gather.flush(&mut text)?;
    Ok(text.done(body))
}

/// Whether labels are of a part that is no sample of its own.
pub(crate) fn is_extra(part: Option<&str>) -> bool {
    part.is_some_and(|part| Part::parse(part) != Some(Part::Count))
}

/// Lowers the resolution until the configured limits hold.
#[expect(clippy::cast_possible_truncation, reason = "held within the schemas")]
fn limited(mut histogram: Histogram, config: &ScrapeConfig) -> Result<Histogram, TranslateError> {
    let factor = config.native_histogram_min_bucket_factor;
    if factor > 1.0 && !histogram.is_custom() {
        // The finest schema whose buckets grow by this factor at least.
        let finest = (-factor.log2().log2()).floor().clamp(-4.0, 8.0) as i32;
        lower(&mut histogram, finest);
    }
    let limit = config.native_histogram_bucket_limit;
    if limit == 0 {
        return Ok(histogram);
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    while histogram.positive.len() + histogram.negative.len() > most {
        if histogram.is_custom() || histogram.schema <= -4 {
            return Err(TranslateError::TooManyBuckets(limit));
        }
        let coarser = histogram.schema - 1;
        lower(&mut histogram, coarser);
    }
    Ok(histogram)
}

fn lower(histogram: &mut Histogram, schema: i32) {
    if schema < histogram.schema {
        let hint = histogram.hint;
        *histogram = histogram.reduced(schema);
        histogram.hint = hint;
    }
}
