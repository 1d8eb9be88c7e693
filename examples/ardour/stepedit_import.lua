ardour {
  ["type"] = "EditorAction",
  name = "stepedit: import results",
  license = "GPL-3.0-or-later",
  author = "The stepedit_fx founders",
  description = [[Imports what stepedit-fx has finished, each on a new track at the place of the region it was made from. stepedit_ardour.py tells it which; without it, this asks for a file and puts it at the playhead.]]
}

function action_params ()
  return { ["spool"] = { title = "Spool folder of stepedit-fx serve", default = "/tmp/stepedit" } }
end

function factory (params) return function ()

  local spool = ((params or {})["spool"] or "/tmp/stepedit"):gsub ("/+$", "")

  local function say (text)
    LuaDialog.Message ("stepedit", text, LuaDialog.MessageType.Info, LuaDialog.ButtonType.Close):run ()
  end

  local function readable (path)
    local file = io.open (path, "rb")
    if file then file:close () end
    return file ~= nil
  end

  -- Only sound files in the spool folder, whatever the list says.
  local function is_ours (path)
    return path:sub (1, #spool + 1) == spool .. "/" and not path:find ("/../", 1, true)
      and (path:match ("%.wav$") or path:match ("%.flac$")) and readable (path)
  end

  -- Lines of "position in samples", tab, path. Taken by renaming, so that a line that is written
  -- meanwhile goes to a new list.
  local function waiting ()
    local taken, list = spool .. "/ardour.taken", {}
    if not os.rename (spool .. "/ardour.queue", taken) then return list end
    for line in io.lines (taken) do
      local position, path = line:match ("^(%d+)\t(.+)$")
      if position and is_ours (path) then
        list[#list + 1] = { position = tonumber (position), path = path }
      end
    end
    os.remove (taken)
    return list
  end

  local function asked_for ()
    local answer = LuaDialog.Dialog ("stepedit: import a result", {
      { type = "file", key = "path", title = "File", path = spool },
    }):run ()
    if not answer then return {} end
    if not is_ours (answer["path"]) then
      say ("'" .. answer["path"] .. "' is no .wav or .flac in " .. spool .. ".")
      return {}
    end
    return { { position = Session:transport_sample (), path = answer["path"] } }
  end

  local list = waiting ()
  if #list == 0 then list = asked_for () end
  for _, result in ipairs (list) do
    local files = C.StringVector ()
    files:push_back (result.path)
    Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsTrack,
      ARDOUR.SrcQuality.SrcBest, ARDOUR.MidiTrackNameSource.SMFTrackName,
      ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore, Temporal.timepos_t (result.position),
      ARDOUR.PluginInfo (), ARDOUR.Track (), false)
  end
end end
