#!/usr/bin/env bash
# Writes src/bindings.rs anew from the V4L2 header of this machine. See README.md.
# needs: bindgen 0.72 on the path, libclang (Debian: libclang1 libclang-common-14-dev), linux-libc-dev
set -euo pipefail
cd "$(dirname "$0")"

# Exactly what the crates `v4l` 0.14 and `nokhwa-bindings-linux` 0.1 name; what these types are made of follows by itself.
types='v4l2_(audio|audioout|buffer|capability|captureparm|control|crop|cropcap|edid|enc_idx|encoder_cmd|exportbuffer'
types+='|ext_control|ext_controls|fmtdesc|format|fract|framebuffer|frequency|frmivalenum|frmsizeenum|input'
types+='|jpegcompression|modulator|output|outputparm|pix_format|query_ext_ctrl|queryctrl|querymenu|requestbuffers'
types+='|sliced_vbi_cap|standard|std_id|streamparm|tuner)|time_t'
constants='V4L2_CTRL_FLAG_NEXT_(CTRL|COMPOUND)'
constants+='|V4L2_CID_(BACKLIGHT_COMPENSATION|BRIGHTNESS|CONTRAST|EXPOSURE|FOCUS_RELATIVE|GAIN|GAMMA|HUE|IRIS_RELATIVE'
constants+='|PAN_RELATIVE|SATURATION|SHARPNESS|TILT_RELATIVE|WHITE_BALANCE_TEMPERATURE|ZOOM_RELATIVE)'
# Codec and colour parameters of stateless decoders: only ever pointed to, so their insides are left out.
opaque='v4l2_ctrl_(h264|fwht|vp8|mpeg2|vp9|hevc|hdr10|av1).*|v4l2_(av1|h264|hevc|mpeg2|vp8|vp9)_.*'

bindgen --allowlist-type "$types|v4l2_frm(size|ival)types" --allowlist-var "$constants" --opaque-type "$opaque" \
  --ignore-functions --no-doc-comments --rust-target 1.82 --rust-edition 2021 --output src/bindings.rs wrapper.h
