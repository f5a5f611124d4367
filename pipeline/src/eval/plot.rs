//! HR@10 over event time as an SVG file: two lines, axes and a legend, written by hand because that is all there is to it.

use std::fmt::Write as _;

use freshet_schema::Millis;

use super::timeline::Bin;
use crate::config::format_time;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
/// Colours and names by mode; readable for the colour-blind.
const LINES: [(&str, &str); 2] = [("#0072b2", "re-ranking off"), ("#d55e00", "re-ranking on")];

/// The plot of `bins` of this width in milliseconds.
#[must_use]
pub fn svg(title: &str, width: u64, bins: &[Bin]) -> String {
    let first = bins.first().map_or(0, |bin| bin.from);
    let last = bins.last().map_or(first, |bin| bin.from) + width;
    let highest = bins.iter().flat_map(|bin| bin.hits).fold(0.0, f64::max);
    // A round tenth above the highest, so that a line never touches the frame.
    let top = ((highest * 10.0).floor() + 1.0).min(10.0) / 10.0;
    let x = |time: f64| LEFT + (time - first as f64) / (last - first) as f64 * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let middle = |bin: &Bin| x(bin.from as f64 + width as f64 / 2.0);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, LEFT, 22.0, "start", &format!("HR@10 over event time: {title}"));
    for (mode, (colour, name)) in LINES.into_iter().enumerate() {
        let at = WIDTH - RIGHT - 240.0 + mode as f64 * 125.0;
        let _ = writeln!(svg, "<rect x=\"{at}\" y=\"32\" width=\"14\" height=\"4\" fill=\"{colour}\"/>");
        text(&mut svg, at + 19.0, 38.0, "start", name);
    }
    let steps = (top * 10.0).round() as u32;
    for step in 0..=steps {
        let value = f64::from(step) / 10.0;
        let at = y(value);
        let end = WIDTH - RIGHT;
        let _ =
            writeln!(svg, "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>");
        text(&mut svg, LEFT - 8.0, at + 4.0, "end", &format!("{value:.1}"));
    }
    const MARKS: u64 = 5;
    for mark in 0..=MARKS {
        // At the edge of a bin, so that the time is a round one.
        let time = first + (last - first) * mark / MARKS / width * width;
        let anchor = ["start", "middle", "end"][usize::from(mark > 0) + usize::from(mark == MARKS)];
        let label = format_time(Millis(time));
        let label = label.get(..16).unwrap_or(&label).replace('T', " ");
        text(&mut svg, x(time as f64), HEIGHT - BOTTOM + 18.0, anchor, &label);
    }
    text(&mut svg, WIDTH / 2.0, HEIGHT - 10.0, "middle", &format!("UTC, bins of {}", span(width)));
    for (mode, (colour, name)) in LINES.into_iter().enumerate() {
        let points: Vec<String> =
            bins.iter().map(|bin| format!("{:.1},{:.1}", middle(bin), y(bin.hits[mode]))).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            points.join(" ")
        );
        for bin in bins {
            let (at, value, scored) = (format_time(Millis(bin.from)), bin.hits[mode], bin.scored);
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\" fill=\"{colour}\"><title>{at}: {value:.3} of {scored}, {name}\
                 </title></circle>",
                middle(bin),
                y(value)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, said: &str) {
    let said: String = said.chars().filter(|c| !c.is_control()).collect();
    let said = said.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{said}</text>");
}

/// `30 min`, `3 h`, `7 d`.
fn span(ms: u64) -> String {
    match ms / 60_000 {
        minutes if minutes < 60 => format!("{minutes} min"),
        minutes if minutes < 24 * 60 => format!("{} h", minutes / 60),
        minutes => format!("{} d", minutes / (24 * 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_the_values_say() {
        let day = 86_400_000;
        let bin = |n: u64, off: f64, on: f64| Bin { from: n * day, scored: 4, hits: [off, on] };
        let svg = svg("a <b> & c", day, &[bin(0, 0.0, 0.25), bin(1, 0.5, 0.75)]);
        // The highest is 0.75, so the axis ends at 0.8; 320 high, 880 wide; the middles of the bins at 1/4 and 3/4.
        assert!(svg.contains("points=\"280.0,370.0 720.0,170.0\""), "{svg}");
        assert!(svg.contains("points=\"280.0,270.0 720.0,70.0\""), "{svg}");
        assert!(svg.contains("a &lt;b&gt; &amp; c") && svg.contains("bins of 1 d"), "{svg}");
        assert!(svg.contains("<title>1970-01-02T00:00:00Z: 0.750 of 4, re-ranking on</title>"), "{svg}");
        assert!(svg.contains(">0.8</text>") && !svg.contains(">0.9</text>"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 4);
    }

    #[test]
    fn a_plot_of_nothing_is_a_plot() {
        assert!(svg("", 60_000, &[]).ends_with("</svg>\n"));
        assert_eq!([span(60_000), span(7_200_000), span(604_800_000)], ["1 min", "2 h", "7 d"]);
    }
}
