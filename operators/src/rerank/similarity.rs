//! Neighbours are not alike: a cosine of at most so much with the video on the place before. Only where both have a vector
//! in one embedding space; what cannot be compared is not alike.

use freshet_learning::LONG_DIMS;

use crate::content::Content;

/// A content with the norm of its vector, which costs as much as a comparison.
#[derive(Clone, Copy)]
pub(super) struct Measured<'a> {
    pub(super) content: &'a Content,
    pub(super) norm: f64,
}

impl<'a> Measured<'a> {
    #[cfg(test)]
    pub(super) fn new(content: &'a Content) -> Self {
        Self { content, norm: content.vector.norm(LONG_DIMS) }
    }

    /// Whether the cosine of the two is above `cap`.
    pub(super) fn alike(&self, other: &Self, cap: f64) -> bool {
        let norms = self.norm * other.norm;
        norms > 0.0
            && self.content.space == other.content.space
            && f64::from(self.content.vector.dot(&other.content.vector, LONG_DIMS)) > cap * norms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rerank::testing::content_at;

    #[test]
    fn alike_is_a_matter_of_the_angle_within_one_space() {
        let (a, near, far) = (content_at(1, 0.0), content_at(2, 40.0), content_at(3, 50.0));
        let alike = |a: &Content, b: &Content| Measured::new(a).alike(&Measured::new(b), 0.7);
        assert!(alike(&a, &near) && alike(&near, &a));
        assert!(!alike(&a, &far));
        let elsewhere = Content { space: 99, ..near.clone() };
        assert!(!alike(&a, &elsewhere));
        assert!(!alike(&a, &Content::unknown(4)));
        assert!(!alike(&Content::unknown(4), &Content::unknown(5)));
    }
}
