// The status page: asks every two seconds and shows the answer as words and numbers. Shows nothing personal
// beyond the masked name of whoever is signed in, and can change nothing.

const lines = (s) => [
  ["在岗 · Signed in", s.operator ? `${s.operator[0]} (${s.operator[1]})` : "无 · nobody"],
  ["记录 · Events", `${s.events}`],
  ["已回执 · Receipted", s.events === s.receipted ? "全部 · all" : `${s.receipted}，待送 ${s.events - s.receipted} waiting`],
  ["上行 · Upstream", s.upstream ?? "正常 · working"],
  ["摄像头 · Camera", s.camera ?? (s.face_pack ? "正常 · working" : "未使用 · not in use")],
  ["读卡器 · Reader", s.reader ?? "正常 · working"],
  ["模型 · Model", s.face_pack ?? "人脸关闭 · face off"],
  ["策略 · Policy", s.policy_in_force ? `v${s.policy_serial}` : "未生效 · not in force"],
  ["时钟 · Clock", s.clock],
  ["终端 · Terminal", s.terminal],
  ["链 · Chain", s.chain],
];

const show = (text, isNotice) => {
  const summary = document.getElementById("summary");
  summary.textContent = text;
  summary.classList.toggle("notice", isNotice);
};

const refresh = async () => {
  try {
    const status = await (await fetch("/v1/status")).json();
    const list = document.getElementById("lines");
    list.replaceChildren(...lines(status).flatMap(([name, value]) => {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.textContent = name;
      dd.textContent = value;
      return [dt, dd];
    }));
    if (status.recording) show(`暂不能记录 · Cannot record now: ${status.recording}`, true);
    else show("运行正常 · Working", false);
  } catch {
    show("与终端失去联系 · No answer from the agent", true);
  }
};

await refresh();
setInterval(refresh, 2000);
