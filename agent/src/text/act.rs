//! Sentences of the acts at the desk, zh and en: what the screen says at each step and at the end.
//! Never blames, never says why a face was refused to somebody who may be an attacker.

use zhenyin_core::api::{Outcome, Step};
use zhenyin_core::challenge::Turn;
use zhenyin_core::decision::{Method, Reason};
use zhenyin_core::look::Hint;

use super::Sentence;

pub fn step(step: &Step) -> Sentence {
    match step {
        Step::LookOrPresentCard => {
            Sentence::new("请面向屏幕，或插入本人卡", "Face the screen, or insert your card")
        }
        Step::PresentCard => Sentence::new("请放入社会保障卡", "Insert the social security card"),
        Step::PresentCardAgain { .. } => {
            Sentence::new("读卡未成功，请重新放卡", "The card was not read: insert it again")
        }
        Step::AskConsent => Sentence::new(
            "是否同意在本机保存人脸特征，仅用于本机身份核验？不同意可用卡和密码，效果相同",
            "May this terminal keep features of your face, for verification here only? \
             If not, card and PIN do just as well",
        ),
        Step::Look { hint: Some(hint), .. } => self::hint(*hint),
        Step::Look { hint: None, .. } => Sentence::new("请面向屏幕", "Look at the screen"),
        Step::Turn { turn, .. } => self::turn(*turn),
        Step::UseCard { .. } => Sentence::new("请插入本人卡并输入密码", "Use your card and PIN"),
        Step::ChoosePin => Sentence::new("请设置 6 至 12 位数字密码", "Choose a PIN of 6 to 12 digits"),
        Step::EnterPin { .. } => Sentence::new("请输入密码", "Enter your PIN"),
        Step::CodeTaken { .. } => Sentence::new("已扫码", "Code taken"),
        Step::AskStaff { .. } => {
            Sentence::new("请工作人员核对证件与本人", "Staff: compare the person with a document")
        }
    }
}

/// The other way stands in the same sentence: nobody must turn the head.
pub fn turn(turn: Turn) -> Sentence {
    match turn {
        Turn::Left => Sentence::new(
            "请慢慢向左看一下；不便时可用卡或请工作人员协助",
            "Slowly look to your left; if that does not suit, use your card or ask staff",
        ),
        Turn::Right => Sentence::new(
            "请慢慢向右看一下；不便时可用卡或请工作人员协助",
            "Slowly look to your right; if that does not suit, use your card or ask staff",
        ),
        Turn::Up => Sentence::new(
            "请慢慢向上看一下；不便时可用卡或请工作人员协助",
            "Slowly look up; if that does not suit, use your card or ask staff",
        ),
    }
}

pub fn hint(hint: Hint) -> Sentence {
    match hint {
        Hint::NobodyInView => Sentence::new("请面向屏幕", "Look at the screen"),
        Hint::OneAtATime => Sentence::new("一位一位来", "One at a time"),
        Hint::TooDark => Sentence::new("光线太暗，请开灯", "Too dark: more light, please"),
        Hint::TooBright => Sentence::new("光线太亮，请避开强光", "Too bright: turn from the light"),
        Hint::LowContrast => Sentence::new("画面不清，请调整灯光", "Unclear picture: change the light"),
        Hint::Blurred => Sentence::new("请保持不动", "Hold still"),
        Hint::ComeCloser => Sentence::new("请靠近一点", "Come closer"),
        Hint::MoveBack => Sentence::new("请后退一点", "Move back a little"),
        Hint::MoveToCentre => Sentence::new("请移到画面中间", "Move to the middle"),
        Hint::FaceTheScreen => Sentence::new("请正对屏幕", "Face the screen"),
        Hint::Uncover => Sentence::new("请露出面部", "Uncover your face"),
        Hint::HoldStill => Sentence::new("很好，请保持", "Good, hold still"),
    }
}

pub fn outcome(outcome: &Outcome) -> Sentence {
    match outcome {
        Outcome::SignedIn { name, role, .. } => Sentence::owned(
            format!("您好，{name}（{}）。仅限本人使用", role.as_str()),
            format!("Hello {name} ({}). For your own use only", role.as_str()),
        ),
        Outcome::SignedOut { .. } => Sentence::new("已离岗", "Signed out"),
        Outcome::NotSignedIn { reason } => self::reason(*reason),
        Outcome::Verified { method, .. } => method_verified(*method),
        Outcome::NotVerified { reason } => self::reason(*reason),
        Outcome::Enrolled { name, face: true, .. } => {
            Sentence::owned(format!("{name} 已登记，人脸可用"), format!("{name} is enrolled with face"))
        }
        Outcome::Enrolled { name, face: false, .. } => Sentence::owned(
            format!("{name} 已登记，使用卡和密码"),
            format!("{name} is enrolled with card and PIN"),
        ),
        Outcome::NotEnrolled { reason } => self::reason(*reason),
        Outcome::CardRead { locked: true, .. } => {
            Sentence::new("卡已读取，持卡人信息需认证后读取", "Card read; its holder data are locked")
        }
        Outcome::CardRead { .. } => Sentence::new("卡已读取", "Card read"),
        Outcome::ResidentCardRead { .. } => Sentence::new("身份证已读取", "Resident card read"),
        Outcome::Failed { fault } => super::sentence(*fault),
    }
}

fn method_verified(method: Method) -> Sentence {
    match method {
        Method::CardFace | Method::Face | Method::CardPin => Sentence::new("核验通过", "Verified"),
        Method::StaffDocument => Sentence::new("已由工作人员核验", "Verified by staff"),
    }
}

/// For the operator's screen. The words for a refused look are the same whatever refused it.
pub fn reason(reason: Reason) -> Sentence {
    match reason {
        Reason::NonMatch | Reason::Ambiguous | Reason::PresentationAttack | Reason::LivenessInDoubt => {
            Sentence::new(
                "未能确认，请用卡或由工作人员协助",
                "Not confirmed: use your card, or staff will help",
            )
        }
        Reason::NoUsableFace => Sentence::new("未能看清，请工作人员协助", "No clear view: staff will help"),
        Reason::NotEnrolled => Sentence::new("此人未在本机登记", "Not enrolled on this terminal"),
        Reason::FaceDeclined => Sentence::new("不使用人脸", "Without face"),
        Reason::AttemptLimit => {
            Sentence::new("尝试次数过多，请稍候或用其他方式", "Too many tries: wait, or use another way")
        }
        Reason::CameraUnavailable => Sentence::new("人脸不可用", "Face unavailable"),
        Reason::WrongPin => Sentence::new("密码不正确", "Wrong PIN"),
        Reason::NoPin => Sentence::new("未设置密码", "No PIN was chosen"),
        Reason::HolderLocked => {
            Sentence::new("此卡持卡人信息需认证后读取", "The card keeps its holder data locked")
        }
        Reason::CodeOnly => Sentence::new("仅扫码，持码人待核对", "A code only: staff see whose it is"),
        Reason::DocumentMismatch => Sentence::new("本人与证件不符", "Person and document do not match"),
        Reason::DocumentUnsure => Sentence::new("不能确定，请主管处理", "Not sure: a supervisor decides"),
        Reason::NobodySignedIn => {
            Sentence::new("请工作人员先登录", "Nobody is signed in: staff sign in first")
        }
        Reason::PolicyNotInForce => {
            Sentence::new("策略未生效，请人工处理", "No policy in force: a person decides")
        }
        Reason::UnderFourteen => Sentence::new("未满 14 周岁不使用人脸", "No face under 14"),
        Reason::SimilarToEnrolled => Sentence::new(
            "与已登记人员相似，请主管核对",
            "Similar to an enrolled person: a supervisor checks",
        ),
        Reason::Cancelled => Sentence::new("已取消", "Cancelled"),
        Reason::TimedOut => Sentence::new("等待超时，请重新开始", "Timed out: start again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attacker_reads_the_same_as_a_stranger() {
        assert_eq!(reason(Reason::PresentationAttack), reason(Reason::NonMatch));
        assert_eq!(reason(Reason::LivenessInDoubt), reason(Reason::NonMatch));
        assert_ne!(reason(Reason::WrongPin), reason(Reason::NonMatch));
    }
}
