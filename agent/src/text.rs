//! Sentences for people, zh and en: what happened, then what to do. Keyed by the codes of the core.
//! Never holds a value or a name that is not on the screen anyway.

pub mod act;

use std::borrow::Cow;
use std::fmt;

use zhenyin_core::fault::Fault;

/// One thought in two languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub zh: Cow<'static, str>,
    pub en: Cow<'static, str>,
}

impl Sentence {
    pub(crate) const fn new(zh: &'static str, en: &'static str) -> Self {
        Self { zh: Cow::Borrowed(zh), en: Cow::Borrowed(en) }
    }

    pub(crate) fn owned(zh: String, en: String) -> Self {
        Self { zh: Cow::Owned(zh), en: Cow::Owned(en) }
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} · {}", self.zh, self.en)
    }
}

/// For the log.
pub fn english(fault: Fault) -> Cow<'static, str> {
    sentence(fault).en
}

pub fn sentence(fault: Fault) -> Sentence {
    let (_, zh, en) =
        FAULTS.iter().find(|row| row.0 == fault).expect("every fault has its row: see the test");
    Sentence::new(zh, en)
}

const FAULTS: &[(Fault, &str, &str)] = &[
    (
        Fault::CameraAbsent,
        "未检测到摄像头，请连接；可用卡和密码",
        "no camera found: connect one, card and PIN work",
    ),
    (Fault::CameraBusy, "摄像头被其他程序占用，请关闭该程序", "another program uses the camera: close it"),
    (
        Fault::CameraVirtual,
        "不接受虚拟摄像头，请连接真实摄像头",
        "virtual cameras are refused: connect a real one",
    ),
    (Fault::CameraUnusable, "摄像头无法使用，请更换", "the camera cannot be used: exchange it"),
    (Fault::CameraLost, "摄像头已断开，请检查连接", "the camera is gone: check its cable"),
    (Fault::CameraStalled, "摄像头无画面，正在重新打开", "the camera gives no picture: it is opened again"),
    (
        Fault::FrameUnreadable,
        "画面无法读取，已跳过，无需处理",
        "a picture was unreadable and skipped: nothing to do",
    ),
    (
        Fault::ModelPackMissing,
        "未找到模型包，人脸关闭；请安装模型包",
        "no model pack, face is off: install one",
    ),
    (
        Fault::ModelPackRefused,
        "模型包校验未通过，人脸关闭；请重新安装",
        "model pack refused, face is off: install it anew",
    ),
    (Fault::ModelRunFailed, "模型运行失败，请联系 IT", "a model failed: tell IT"),
    (Fault::ReaderAbsent, "未检测到读卡器，请连接", "no card reader: connect it"),
    (Fault::ReaderBusy, "读卡器被其他程序占用，请关闭该程序", "another program uses the reader: close it"),
    (
        Fault::ReaderShared,
        "读卡器端口已分配给 pcscd，请从其 reader.conf 中移除",
        "pcscd is set up to use the reader's port: take it out of its reader.conf",
    ),
    (
        Fault::ReaderSilent,
        "读卡器无应答，请检查型号与端口",
        "the reader does not answer: check model and port",
    ),
    (Fault::ReaderLost, "读卡器已断开，请检查连接", "the reader is gone: check its cable"),
    (Fault::CardRemoved, "读卡中卡被取出，请重新放卡", "the card was taken out: insert it again"),
    (Fault::CardTimeout, "卡无应答，请重新放卡", "the card did not answer in time: insert it again"),
    (Fault::CardTransmission, "读卡数据有误，请重新放卡", "the reading was damaged: insert the card again"),
    (Fault::CardSwapped, "读卡中换了卡，请只放一张卡", "the card was exchanged: leave one card in"),
    (Fault::CardUnanswering, "卡无法识别，请擦拭或换方向", "the card cannot be read: clean or turn it"),
    (Fault::CardForeign, "不是社会保障卡，请换卡", "not a social security card: use another"),
    (
        Fault::CardLocked,
        "此卡持卡人信息需认证，请人工核对",
        "holder data are locked: staff compare a document",
    ),
    (Fault::CardDamaged, "卡内数据有误，请人工核对", "data on the card are wrong: staff compare a document"),
    (
        Fault::JournalFull,
        "存储已满，暂停受理；请联系 IT 清理磁盘",
        "storage is full, no act is taken: IT frees the disk",
    ),
    (Fault::JournalFilling, "存储将满，请 IT 检查网络和磁盘", "storage fills up: IT checks network and disk"),
    (
        Fault::JournalReadOnly,
        "存储只读，暂停受理；请联系 IT",
        "storage is read-only, no act is taken: tell IT",
    ),
    (
        Fault::JournalDamaged,
        "记录损坏，暂停受理；请勿改动并联系 IT",
        "the record is damaged: change nothing, tell IT",
    ),
    (Fault::JournalInUse, "记录被另一程序占用，请关闭该程序", "another program holds the record: close it"),
    (
        Fault::JournalEngineOld,
        "数据库版本过旧，请更新程序",
        "the database engine is too old: update the agent",
    ),
    (
        Fault::JournalCommitFailed,
        "记录写入失败，未受理；稍后重试",
        "recording failed, nothing was accepted: try again",
    ),
    (
        Fault::UpstreamUnreachable,
        "无法连接上级，记录保存在本机，自动重试",
        "no network: events wait here and are sent later",
    ),
    (
        Fault::UpstreamUntrusted,
        "上级身份无法验证，记录未发出；请检查证书和 `upstream.ca_file`",
        "the upstream cannot prove who it is, nothing was sent: check its certificate and `upstream.ca_file`",
    ),
    (
        Fault::UpstreamRefused,
        "上级拒收记录，请联系管理部门",
        "the upstream refuses the events: tell the authority",
    ),
    (Fault::UpstreamNonsense, "上级应答有误，自动重试", "the upstream's answer makes no sense: tried again"),
    (
        Fault::ReceiptWrong,
        "回执不正确，记录保留；请联系管理部门",
        "a receipt does not hold: events are kept, tell the authority",
    ),
    (
        Fault::PolicyExpired,
        "策略已过期，请人工处理并联网更新",
        "the policy has ended: a person decides until it is renewed",
    ),
    (
        Fault::PolicyMissing,
        "没有策略，请人工处理并联网获取",
        "there is no policy: a person decides until one comes",
    ),
    (
        Fault::ClockStepped,
        "时钟被调整，已记录；请核对时间",
        "the clock was set, which is recorded: check the time",
    ),
    (Fault::KeyMissing, "密钥缺失，请重新登记终端", "the key file is missing: enrol the terminal anew"),
    (Fault::KeyDamaged, "密钥损坏，请重新登记终端", "the key file is damaged: enrol the terminal anew"),
    (
        Fault::ReferencesDamaged,
        "登记数据损坏，请重新登记人员",
        "enrolment data are damaged: enrol people anew",
    ),
    (
        Fault::ConfigInvalid,
        "配置有误，请运行 zhenyin config check",
        "the configuration is wrong: run `zhenyin config check`",
    ),
    (
        Fault::EnrolmentCodeRefused,
        "注册码无效，请索取新码",
        "the enrolment code is refused: ask for a new one",
    ),
    (Fault::AgentStopping, "程序正在停止，请稍候重新开始", "the agent is stopping: start again in a moment"),
    (Fault::WorkerPanicked, "内部错误，已自动重启；请报告", "an internal error, restarted: report it"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_says_what_to_do_in_both_languages() {
        for fault in Fault::all() {
            let Sentence { zh, en } = sentence(fault);
            assert!(zh.chars().count() >= 6 && en.len() >= 12, "{fault}");
            assert!(
                zh.contains('，') && (en.contains(':') || en.contains(',')),
                "{fault}: what happened, then what to do"
            );
        }
    }
}
