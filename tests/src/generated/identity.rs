//! What makes one generated person: lengths of the face, colours, hair, glasses, clothes, all drawn from one number.
//! Never taken from a picture or a measured person.

use super::random::Dice;

/// Lengths are in tenths of a metre; x to the right of the picture, y up, eyes at y = 0.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) head: HeadShape,
    pub(super) eyes: Eyes,
    pub(super) brows: Brows,
    pub(super) nose: Nose,
    pub(super) mouth: Mouth,
    pub(super) skin: Skin,
    pub(super) hair: Hair,
    pub(super) glasses: Option<Glasses>,
    pub(super) clothes: Clothes,
    /// Seeds whatever is mottled or strewn.
    pub(super) grain: u32,
}

#[derive(Clone)]
pub(super) struct HeadShape {
    pub(super) width: f32,
    pub(super) cheek: f32,
    pub(super) jaw: f32,
    pub(super) chin_width: f32,
    pub(super) chin: f32,
    pub(super) chin_out: f32,
    pub(super) crown: f32,
    pub(super) forehead: f32,
    pub(super) square: f32,
    pub(super) cheekbone: f32,
    pub(super) full: f32,
    pub(super) muzzle: f32,
}

#[derive(Clone)]
pub(super) struct Eyes {
    pub(super) apart: f32,
    pub(super) half: f32,
    pub(super) open: f32,
    pub(super) tilt: f32,
    pub(super) socket: f32,
    pub(super) bulge: f32,
    pub(super) crease: f32,
    pub(super) fold: f32,
    pub(super) iris: f32,
    pub(super) colour: [f32; 3],
    pub(super) lashes: f32,
}

#[derive(Clone)]
pub(super) struct Brows {
    pub(super) up: f32,
    pub(super) from: f32,
    pub(super) length: f32,
    pub(super) thick: f32,
    pub(super) arch: f32,
    pub(super) tilt: f32,
    pub(super) dark: f32,
    pub(super) ridge: f32,
    pub(super) uneven: f32,
}

#[derive(Clone)]
pub(super) struct Nose {
    pub(super) tip: f32,
    pub(super) out: f32,
    pub(super) bridge: f32,
    pub(super) hook: f32,
    pub(super) width: f32,
    pub(super) ball: f32,
    pub(super) ridge: f32,
    pub(super) aside: f32,
}

#[derive(Clone)]
pub(super) struct Mouth {
    pub(super) at: f32,
    pub(super) half: f32,
    pub(super) upper: f32,
    pub(super) lower: f32,
    pub(super) bow: f32,
    pub(super) corner: f32,
    pub(super) red: f32,
}

#[derive(Clone)]
pub(super) struct Skin {
    pub(super) tone: f32,
    pub(super) red: f32,
    pub(super) mottled: f32,
    pub(super) oily: f32,
    pub(super) age: f32,
    pub(super) freckles: f32,
    pub(super) shadows: f32,
    pub(super) moles: Vec<[f32; 3]>,
    pub(super) beard: Beard,
}

#[derive(Clone)]
pub(super) struct Beard {
    pub(super) stubble: f32,
    pub(super) moustache: f32,
    pub(super) chin: f32,
    pub(super) sides: f32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Bald,
    Short,
    Parted,
    Bob,
    Long,
}

impl Cut {
    pub(super) fn is_long(self) -> bool {
        matches!(self, Self::Bob | Self::Long)
    }
}

#[derive(Clone)]
pub(super) struct Hair {
    pub(super) cut: Cut,
    pub(super) line: f32,
    pub(super) fringe: f32,
    pub(super) parting: f32,
    pub(super) thick: f32,
    pub(super) colour: [f32; 3],
}

#[derive(Clone)]
pub(super) struct Glasses {
    pub(super) half_width: f32,
    pub(super) half_height: f32,
    pub(super) round: f32,
    pub(super) rim: f32,
    pub(super) colour: [f32; 3],
}

#[derive(Clone)]
pub(super) struct Clothes {
    pub(super) colour: [f32; 3],
    pub(super) inner: [f32; 3],
    pub(super) neckline: f32,
    pub(super) coat: bool,
    pub(super) broad: f32,
}

impl Identity {
    pub(super) fn draw(seed: u64) -> Self {
        let mut d = Dice::new(seed, 1);
        let woman = d.chance(0.5);
        let age = d.unit();
        let grey = age > 0.75 && d.chance(0.6);
        let skin = skin(&mut d, woman, age);
        let hair = hair(&mut d, woman, grey, skin.tone);
        Self {
            head: head(&mut d, woman),
            eyes: eyes(&mut d, skin.tone),
            brows: brows(&mut d, woman),
            nose: nose(&mut d),
            mouth: mouth(&mut d, woman),
            skin,
            hair,
            glasses: d.chance(0.22).then(|| glasses(&mut d)),
            clothes: clothes(&mut d, woman),
            grain: d.next() as u32,
        }
    }
}

fn head(d: &mut Dice, woman: bool) -> HeadShape {
    let soft = if woman { 1.0 } else { 0.0 };
    HeadShape {
        width: d.around(0.76 - 0.02 * soft, 0.028),
        cheek: d.around(0.70 - 0.01 * soft, 0.045),
        jaw: d.around(0.56 - 0.05 * soft, 0.065),
        chin_width: d.around(0.36 - 0.05 * soft, 0.06),
        chin: d.around(-1.13 + 0.06 * soft, 0.08),
        chin_out: d.around(0.0, 0.035),
        crown: d.around(1.16, 0.05),
        forehead: d.around(0.0, 0.03),
        square: d.around(2.35, 0.12),
        cheekbone: d.around(0.05, 0.03),
        full: d.around(0.01, 0.05),
        muzzle: d.around(0.07, 0.025),
    }
}

fn eyes(d: &mut Dice, tone: f32) -> Eyes {
    const IRIS: [[f32; 3]; 7] = [
        [0.055, 0.028, 0.015],
        [0.07, 0.035, 0.018],
        [0.10, 0.05, 0.02],
        [0.14, 0.08, 0.03],
        [0.12, 0.13, 0.06],
        [0.12, 0.20, 0.28],
        [0.16, 0.19, 0.20],
    ];
    let half = d.around(0.158, 0.014);
    Eyes {
        apart: d.around(0.322, 0.03),
        half,
        open: d.around(0.066, 0.013).max(0.036),
        tilt: d.around(0.05, 0.075),
        socket: d.around(0.10, 0.035).max(0.02),
        bulge: d.around(0.065, 0.012),
        crease: d.around(0.036, 0.014).max(0.01),
        fold: d.unit(),
        iris: d.around(0.062, 0.003),
        colour: d.pick(if tone > 0.35 { &IRIS[..4] } else { &IRIS }),
        lashes: d.between(0.5, 1.0),
    }
}

fn brows(d: &mut Dice, woman: bool) -> Brows {
    Brows {
        up: d.around(0.205, 0.035),
        from: d.around(0.125, 0.03),
        length: d.around(0.36, 0.035),
        thick: d.around(if woman { 0.026 } else { 0.038 }, 0.010).max(0.012),
        arch: d.around(0.045, 0.028),
        tilt: d.around(0.02, 0.09),
        dark: d.between(0.6, 1.0),
        ridge: d.around(if woman { 0.02 } else { 0.045 }, 0.018),
        uneven: d.around(0.0, 0.012),
    }
}

fn nose(d: &mut Dice) -> Nose {
    Nose {
        tip: d.around(-0.385, 0.05),
        out: d.around(0.26, 0.05),
        bridge: d.around(0.11, 0.045).max(0.02),
        hook: d.around(0.0, 0.03),
        width: d.around(0.165, 0.030),
        ball: d.around(0.05, 0.025),
        ridge: d.around(0.060, 0.016),
        aside: d.around(0.0, 0.010),
    }
}

fn mouth(d: &mut Dice, woman: bool) -> Mouth {
    Mouth {
        at: d.around(-0.69, 0.045),
        half: d.around(0.265, 0.035),
        upper: d.around(0.064, 0.02).max(0.025),
        lower: d.around(0.09, 0.024).max(0.035),
        bow: d.between(0.0, 0.35),
        corner: d.around(0.0, 0.018),
        red: if woman { d.between(0.35, 1.0) } else { d.between(0.15, 0.5) },
    }
}

fn skin(d: &mut Dice, woman: bool, age: f32) -> Skin {
    let moles = (0..d.next() % 5)
        .map(|_| [d.between(-0.6, 0.6), d.between(-1.0, 0.5), d.between(0.008, 0.02)])
        .collect();
    let bearded = !woman && d.chance(0.3);
    let hairy = |d: &mut Dice| if bearded && d.chance(0.6) { d.between(0.5, 0.95) } else { 0.0 };
    let beard = Beard {
        stubble: if woman { 0.0 } else { d.between(0.0, 0.45) },
        moustache: hairy(d),
        chin: hairy(d),
        sides: hairy(d) * 0.8,
    };
    Skin {
        tone: d.unit().powf(1.5),
        red: d.between(0.0, 1.0),
        mottled: d.between(0.2, 1.0),
        oily: d.between(0.3, 1.0),
        age,
        freckles: if d.chance(0.15) { d.between(0.3, 1.0) } else { 0.0 },
        shadows: d.between(0.1, 0.7),
        moles,
        beard,
    }
}

fn hair(d: &mut Dice, woman: bool, grey: bool, tone: f32) -> Hair {
    const COLOURS: [[f32; 3]; 7] = [
        [0.010, 0.009, 0.009],
        [0.014, 0.011, 0.010],
        [0.022, 0.014, 0.010],
        [0.045, 0.024, 0.013],
        [0.085, 0.045, 0.020],
        [0.24, 0.15, 0.065],
        [0.13, 0.045, 0.018],
    ];
    let cut = match (woman, d.unit()) {
        (true, x) if x < 0.15 => Cut::Short,
        (true, x) if x < 0.45 => Cut::Bob,
        (true, _) => Cut::Long,
        (false, x) if x < 0.12 => Cut::Bald,
        (false, x) if x < 0.55 => Cut::Short,
        (false, _) => Cut::Parted,
    };
    let usual = if tone > 0.45 { 4 } else { COLOURS.len() };
    let ash = d.between(0.15, 0.45);
    Hair {
        cut,
        line: d.around(0.64, 0.06),
        fringe: if cut != Cut::Bald && d.chance(0.35) { d.between(0.25, 0.36) } else { 0.0 },
        parting: d.between(-0.8, 0.8),
        thick: d.between(0.07, 0.17),
        colour: if grey { [ash, ash, ash * 0.97] } else { d.pick(&COLOURS[..usual]) },
    }
}

fn glasses(d: &mut Dice) -> Glasses {
    const COLOURS: [[f32; 3]; 5] =
        [[0.01, 0.01, 0.012], [0.03, 0.015, 0.01], [0.25, 0.22, 0.16], [0.3, 0.3, 0.32], [0.12, 0.02, 0.03]];
    Glasses {
        half_width: d.between(0.235, 0.275),
        half_height: d.between(0.15, 0.22),
        round: d.between(2.2, 5.0),
        rim: d.between(0.008, 0.022),
        colour: d.pick(&COLOURS),
    }
}

fn clothes(d: &mut Dice, woman: bool) -> Clothes {
    let coat = d.chance(0.35);
    let cloth = |d: &mut Dice| {
        let grey = d.between(0.02, 0.5);
        [grey * d.between(0.4, 1.2), grey * d.between(0.4, 1.2), grey * d.between(0.4, 1.2)]
    };
    Clothes {
        colour: if coat { [0.75, 0.76, 0.78] } else { cloth(d) },
        inner: cloth(d),
        neckline: d.between(0.0, 0.45),
        coat,
        broad: d.around(if woman { 0.9 } else { 1.02 }, 0.06),
    }
}
