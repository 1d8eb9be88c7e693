ardour {
  ["type"] = "EditorAction",
  name = "stepedit: send region",
  license = "GPL-3.0-or-later",
  author = "The stepedit_fx founders",
  description = [[Sends the selected audio region to a running "stepedit-fx serve": the file it plays, the part of it that the region shows, and where it lies, so that the result can be put back there.]]
}

function action_params ()
  return { ["daemon"] = { title = "Address of stepedit-fx serve", default = "127.0.0.1:9100" } }
end

function factory (params) return function ()

  local function say (text)
    LuaDialog.Message ("stepedit", text, LuaDialog.MessageType.Info, LuaDialog.ButtonType.Close):run ()
  end

  local function selected_region ()
    for region in Editor:get_selection ().regions:regionlist ():iter () do
      if not region:to_audioregion ():isnil () then return region:to_audioregion () end
    end
  end

  local host = (params or {})["daemon"] or "127.0.0.1:9100"
  if not host:match ("^[%w%.%-]+:%d+$") then
    say ("'" .. host .. "' is no HOST:PORT. Assign this action again, with the address of stepedit-fx serve.")
    return
  end
  local region = selected_region ()
  if not region then
    say ("No audio region is selected. Select one and call this action again.")
    return
  end
  local source = region:source (0)
  local file = source:to_filesource ()
  if file:isnil () then
    say ("'" .. region:name () .. "' plays no file of its own. Bounce it first (Region > Edit > Bounce).")
    return
  end

  -- Samples of the session; a file that is embedded at another rate is played at the session's.
  local rate = Session:nominal_sample_rate ()
  local start = region:start ():samples ()
  local stop = start + region:length ():samples ()
  local note = string.format ("ardour:%d:%d", region:position ():samples (), rate)
  local id = (os.time () % 1000000) * 100 + math.random (0, 99)
  ARDOUR.LuaOSC.Address ("osc.udp://" .. host):send (
    "/stepedit/render", "isdds", id, file:path (), start / rate, stop / rate, note)
end end
