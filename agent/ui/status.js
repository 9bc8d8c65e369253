// The status page: asks every two seconds, more often during an act, and shows the answer as words and numbers.
// Shows nothing personal beyond the masked name of whoever is signed in, and can change nothing.

const clocks = { synced: "已同步 · synced", unsynced: "未同步 · not synced", stepped: "被改动 · was set" };

// Name, value, and whether it wants attention.
const lines = (s) => [
  ["在岗 · Signed in", s.operator ? `${s.operator[0]} (${s.operator[1]})` : "无 · nobody"],
  ["记录 · Events", `${s.events}`],
  ["已回执 · Receipted", s.events === s.receipted ? "全部 · all" : `${s.receipted}，待送 ${s.events - s.receipted} · ${s.events - s.receipted} waiting`],
  ["存储 · Storage", s.recording ?? `${Math.round(100 * s.room.used_bytes / (s.room.limit_bytes || 1))}% · ${s.room.level}`, s.recording],
  ["上行 · Upstream", s.upstream ?? "正常 · working", s.upstream],
  ["摄像头 · Camera", s.camera ?? (s.face_pack ? "正常 · working" : "未使用 · not in use"), s.camera],
  ["读卡器 · Reader", s.reader ?? "正常 · working", s.reader],
  ["模型 · Model", s.face_pack ?? "人脸关闭 · face off"],
  ["策略 · Policy", s.policy_in_force ? `v${s.policy_serial}` : "未生效 · not in force", !s.policy_in_force],
  ["时钟 · Clock", clocks[s.clock] ?? s.clock, s.clock === "stepped"],
  ["终端 · Terminal", s.terminal],
  ["链 · Chain", s.chain],
];

// The same words as on every other screen.
const turns = {
  left: ["←", "请慢慢向左看一下；不便时可用卡或请工作人员协助", "Slowly look to your left; if that does not suit, use your card or ask staff"],
  right: ["→", "请慢慢向右看一下；不便时可用卡或请工作人员协助", "Slowly look to your right; if that does not suit, use your card or ask staff"],
  up: ["↑", "请慢慢向上看一下；不便时可用卡或请工作人员协助", "Slowly look up; if that does not suit, use your card or ask staff"],
};

const prompt = (turn) => {
  const element = document.getElementById("prompt");
  const words = turns[turn] ?? [];
  element.hidden = words.length === 0;
  const parts = words.map((text, place) => {
    const part = document.createElement("span");
    part.textContent = text;
    if (place === 0) part.setAttribute("aria-hidden", "true");
    part.lang = place === 2 ? "en" : "zh-CN";
    return part;
  });
  // Spoken once, not with every answer.
  if (element.dataset.turn !== `${turn}`) element.replaceChildren(...parts);
  element.dataset.turn = `${turn}`;
};

const show = (text, isNotice) => {
  const summary = document.getElementById("summary");
  summary.textContent = text;
  summary.classList.toggle("notice", isNotice);
};

const refresh = async () => {
  try {
    const status = await (await fetch("/v1/status")).json();
    const list = document.getElementById("lines");
    const told = lines(status);
    list.replaceChildren(...told.flatMap(([name, value, isNotice]) => {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.textContent = name;
      dd.textContent = value;
      dd.classList.toggle("notice", Boolean(isNotice));
      return [dt, dd];
    }));
    prompt(status.challenge);
    acting = status.act_under_way;
    if (status.recording) show(`暂不能记录 · Cannot record now: ${status.recording}`, true);
    else if (told.some(([, , isNotice]) => isNotice)) show("运行中，请看标出的各项 · Working; see the marked lines", true);
    else show("运行正常 · Working", false);
  } catch {
    prompt(null);
    show("与终端失去联系 · No answer from the agent", true);
  }
};

// A challenge lasts seconds: while somebody is in front of the camera the page asks more often.
let acting = false;
const again = async () => {
  await refresh();
  setTimeout(again, acting ? 300 : 2000);
};
await again();
