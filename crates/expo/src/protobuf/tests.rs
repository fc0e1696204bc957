use proptest::prelude::*;

use super::*;

/// A message being written.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(mut self, number: u64, value: u64) -> Self {
        self.put(number << 3);
        self.put(value);
        self
    }

    fn double(mut self, number: u64, value: f64) -> Self {
        self.put(number << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, number: u64, bytes: &[u8]) -> Self {
        self.put(number << 3 | 2);
        self.put(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn put(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn delimited(&self) -> Vec<u8> {
        let mut out = Self::default();
        out.put(self.0.len() as u64);
        out.0.extend(&self.0);
        out.0
    }
}

fn label(name: &str, value: &str) -> Vec<u8> {
    Message::default().bytes(1, name.as_bytes()).bytes(2, value.as_bytes()).0
}

fn family(name: &str, kind: u64, metric: &Message) -> Vec<u8> {
    let family = Message::default().bytes(1, name.as_bytes()).bytes(2, b"helps").varint(3, kind);
    family.bytes(4, &metric.0).delimited()
}

fn said(body: &[u8], wanted: Wanted) -> Result<Vec<String>, ProtobufError> {
    let mut said = Vec::new();
    read(body, wanted, &mut |item| {
        said.push(match item {
            Item::Family { name, kind, help } => format!("{name} {kind} {help}"),
            Item::Number { name, labels, bound, value, at, exemplar } => {
                let exemplars: String = exemplar.iter().map(shown).collect();
                format!("{name} {labels:?} {bound:?} {value} {at:?}{exemplars}")
            }
            Item::Histogram { name, labels, value, at, exemplars } => {
                let NativeHistogram { histogram, integer } = value;
                let exemplars: String = exemplars.iter().map(shown).collect();
                let hint = histogram.hint;
                format!("{name} {labels:?} {histogram} {hint:?} {integer} {at:?}{exemplars}")
            }
        });
        Ok::<(), ProtobufError>(())
    })?;
    Ok(said)
}

fn shown(exemplar: &Exemplar<'_>) -> String {
    let Exemplar { labels, value, at } = exemplar;
    format!(" # {labels:?} {value} {:?}", at.map(|at| at.0))
}

fn exemplar(id: &str, value: f64, at: Option<(u64, u64)>) -> Vec<u8> {
    let exemplar = Message::default().bytes(1, &label("id", id)).double(2, value);
    match at {
        Some((seconds, nanos)) => {
            let at = Message::default().varint(1, seconds).varint(2, nanos);
            exemplar.bytes(3, &at.0).0
        }
        None => exemplar.0,
    }
}

fn native() -> Message {
    let span = |offset: u64, length| Message::default().varint(1, offset).varint(2, length).0;
    let bucket = Message::default().varint(1, 2).double(2, 0.5).0;
    Message::default()
        .varint(1, 6)
        .double(2, -1.5)
        .bytes(3, &bucket)
        .varint(5, 0)
        .double(6, 0.001)
        .varint(7, 1)
        // Zigzag: -1 is 1, 2 is 4.
        .bytes(12, &span(1, 2))
        .bytes(12, &span(2, 1))
        .varint(13, 4)
        .bytes(13, &[1, 2])
        .bytes(9, &span(0, 1))
        .varint(10, 2)
}

#[test]
fn numbers_are_read() {
    let value = Message::default().double(1, 2.5);
    let metric = Message::default().bytes(1, &label("a", "b")).bytes(3, &value.0).varint(6, 1500);
    let body = family("c_total", 0, &metric);
    assert_eq!(
        said(&body, Wanted::default()).unwrap(),
        ["c_total counter helps", r#"c_total [("a", "b")] None 2.5 Some(1500)"#]
    );
    let quantile = Message::default().double(1, 0.5).double(2, 7.0);
    let summary = Message::default().varint(1, 3).double(2, 9.0).bytes(3, &quantile.0);
    let body = family("s", 2, &Message::default().bytes(4, &summary.0));
    assert_eq!(
        said(&body, Wanted::default()).unwrap(),
        [
            "s summary helps",
            "s_count [] None 3 None",
            "s_sum [] None 9 None",
            r#"s [] Some(("quantile", 0.5)) 7 None"#
        ]
    );
}

#[test]
fn histograms_come_in_the_form_that_is_wanted() {
    let body = family("h", 4, &Message::default().bytes(7, &native().0));
    let native_form = "h [] {count:6, sum:-1.5, [-1,-0.5):1, [-0.001,0.001]:1, (0.25,0.5]:2, \
                       (0.5,1]:1, (2,4]:2} Unknown true None";
    let classic_form = [
        "h_count [] None 6 None",
        "h_sum [] None -1.5 None",
        r#"h_bucket [] Some(("le", 0.5)) 2 None"#,
        r#"h_bucket [] Some(("le", inf)) 6 None"#,
    ];
    let of = |native, classic_too| {
        said(&body, Wanted { native, classic_too, exemplars: false }).unwrap()
    };
    assert_eq!(of(true, false)[1..], [native_form]);
    assert_eq!(of(false, true)[1..], classic_form);
    assert_eq!(of(true, true)[1..2], [native_form], "those who convert must know it first");
    assert_eq!(of(true, true)[2..], classic_form);
}

#[test]
fn exemplars_are_read_when_wanted() {
    let all = Wanted { native: true, classic_too: true, exemplars: true };
    let value = Message::default().double(1, 2.5).bytes(2, &exemplar("x", 0.5, None));
    let counter = |kind| family("c", kind, &Message::default().bytes(3, &value.0));
    let with = |exemplar: &str| format!("c [] None 2.5 None{exemplar}");
    assert_eq!(said(&counter(0), all).unwrap()[1], with(r#" # [("id", "x")] 0.5 None"#));
    assert_eq!(said(&counter(1), all).unwrap()[1], with(""));
    assert_eq!(said(&counter(0), Wanted::default()).unwrap()[1], with(""));
    let bucket = |id, bound: f64, at| {
        Message::default().varint(1, 2).double(2, bound).bytes(3, &exemplar(id, bound, at)).0
    };
    let buckets = native()
        .bytes(3, &bucket("late", 1.0, Some((5, 1_999_999))))
        .bytes(3, &bucket("early", 2.0, Some((4, 0))))
        .bytes(3, &bucket("timeless", 4.0, None));
    let ends = |histogram: &Message| -> Vec<String> {
        let body = family("h", 4, &Message::default().bytes(7, &histogram.0));
        let lines = said(&body, all).unwrap().into_iter();
        lines.filter_map(|line| Some(line.split_once(" # ")?.1.to_owned())).collect()
    };
    assert_eq!(
        ends(&buckets),
        [
            r#"[("id", "early")] 2 Some(4000) # [("id", "late")] 1 Some(5001)"#,
            r#"[("id", "late")] 1 Some(5001)"#,
            r#"[("id", "early")] 2 Some(4000)"#,
            r#"[("id", "timeless")] 4 None"#,
        ]
    );
    let own =
        native().bytes(16, &exemplar("n", 3.0, Some((6, 0)))).bytes(16, &exemplar("o", 3.0, None));
    assert_eq!(ends(&own), [r#"[("id", "n")] 3 Some(6000)"#]);
}

#[test]
fn gauges_and_floats_are_told_apart() {
    let span = Message::default().varint(1, 0).varint(2, 1).0;
    let float = Message::default().double(4, 1.5).bytes(12, &span).double(14, 1.5);
    let body = family("g", 5, &Message::default().bytes(7, &float.0));
    let wanted = Wanted { native: true, ..Wanted::default() };
    assert_eq!(
        said(&body, wanted).unwrap()[1],
        "g [] {count:1.5, sum:0, (0.5,1]:1.5} Gauge false None"
    );
}

#[test]
fn what_is_broken_is_refused() {
    let wanted = Wanted { native: true, classic_too: true, exemplars: true };
    let of = |histogram: &Message| {
        said(&family("h", 4, &Message::default().bytes(7, &histogram.0)), wanted)
    };
    assert_eq!(of(&native().varint(13, 2)), Err(ProtobufError::BadSpans));
    assert_eq!(of(&native().varint(5, 106)), Err(ProtobufError::BadSchema(53)));
    assert_eq!(of(&native().varint(5, 9)), Err(ProtobufError::BadSchema(-5)));
    let huge = Message::default().varint(1, 0).varint(2, u64::from(u32::MAX)).0;
    assert_eq!(of(&native().bytes(12, &huge)), Err(ProtobufError::BadSpans));
    assert_eq!(said(&[5, 1], wanted), Err(ProtobufError::Truncated));
    assert_eq!(said(&[1, 0x0f], wanted), Err(ProtobufError::BadField));
    let name = Message::default().bytes(1, &[0xff]);
    assert_eq!(said(&name.delimited(), wanted), Err(ProtobufError::NotUtf8));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = said(&bytes, Wanted { native: true, classic_too: true, exemplars: true });
    }

    #[test]
    fn a_changed_byte_is_read_or_refused(at in 0..200_usize, byte: u8) {
        let own = exemplar("n", 3.0, Some((6, 0)));
        let bucket = Message::default().double(2, 1.0).bytes(3, &own).0;
        let histogram = native().bytes(3, &bucket).bytes(16, &own);
        let mut body = family("h", 4, &Message::default().bytes(7, &histogram.0));
        let at = at % body.len();
        body[at] = byte;
        let _ = said(&body, Wanted { native: true, classic_too: true, exemplars: true });
    }
}
