-- ReaScript: put what stepedit-fx has rendered into the item it was made from, as a new take.
--
-- Bind it to the OSC message that `stepedit-fx serve --notify 127.0.0.1:8000/stepedit/finished`
-- sends: it carries the id of the render, whose document lies in the spool folder. The take that
-- was there stays, and one undo takes everything back.

local TITLE = "stepedit-fx"
local ADAPT_LENGTH = true -- make the item as long as the new take, where that is longer or shorter
local MAX_BYTES = 1024 * 1024 -- of a document; they have a few thousand
local MAX_DEPTH = 16

local function say(text) reaper.ShowMessageBox(text, TITLE, 0) end

-- JSON, as much of it as there is (RFC 8259); gives nil and a reason for what is none. ------------

local ESCAPES = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

local function skip(text, place) return text:find("[^ \t\r\n]", place) or #text + 1 end

local function code_at(text, place)
  local digits = text:match("^\\u(%x%x%x%x)", place)
  return digits and tonumber(digits, 16)
end

local function read_string(text, place)
  local parts = {}
  place = place + 1
  while true do
    local from, to = text:find('^[^"\\%c]+', place)
    if from then
      parts[#parts + 1] = text:sub(from, to)
      place = to + 1
    end
    local char = text:sub(place, place)
    if char == '"' then return table.concat(parts), place + 1 end
    if char ~= "\\" then error("a text has no end") end
    local code = code_at(text, place)
    if code then
      place = place + 6
      local low = code >= 0xD800 and code < 0xDC00 and code_at(text, place)
      if low and low >= 0xDC00 and low < 0xE000 then
        code, place = 0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00, place + 6
      end
      parts[#parts + 1] = utf8.char(code)
    else
      local escape = ESCAPES[text:sub(place + 1, place + 1)]
      if not escape then error("an escape that JSON does not have") end
      parts[#parts + 1] = escape
      place = place + 2
    end
  end
end

local read_value

local function read_list(text, place, depth)
  local list = {}
  place = skip(text, place + 1)
  if text:sub(place, place) == "]" then return list, place + 1 end
  while true do
    list[#list + 1], place = read_value(text, place, depth)
    place = skip(text, place)
    local char = text:sub(place, place)
    if char == "]" then return list, place + 1 end
    if char ~= "," then error("a list has no end") end
    place = place + 1
  end
end

local function read_object(text, place, depth)
  local object, key = {}, nil
  place = skip(text, place + 1)
  if text:sub(place, place) == "}" then return object, place + 1 end
  while true do
    place = skip(text, place)
    if text:sub(place, place) ~= '"' then error("a name is missing") end
    key, place = read_string(text, place)
    place = skip(text, place)
    if text:sub(place, place) ~= ":" then error("a colon is missing") end
    object[key], place = read_value(text, place + 1, depth)
    place = skip(text, place)
    local char = text:sub(place, place)
    if char == "}" then return object, place + 1 end
    if char ~= "," then error("an object has no end") end
    place = place + 1
  end
end

-- null is false here: a list with nil in it has no length in Lua.
local WORDS = { { "true", true }, { "false", false }, { "null", false } }

function read_value(text, place, depth)
  if depth > MAX_DEPTH then error("nested too deeply") end
  place = skip(text, place)
  local char = text:sub(place, place)
  if char == '"' then return read_string(text, place) end
  if char == "{" then return read_object(text, place, depth + 1) end
  if char == "[" then return read_list(text, place, depth + 1) end
  for _, word in ipairs(WORDS) do
    if text:sub(place, place + #word[1] - 1) == word[1] then return word[2], place + #word[1] end
  end
  local digits = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", place)
  local number = digits and tonumber(digits)
  if not number then error("no value at character " .. place) end
  return number, place + #digits
end

local function json(text)
  local fine, value, place = pcall(read_value, text, 1, 0)
  if not fine then return nil, value end
  if skip(text, place) <= #text then return nil, "something follows it" end
  return value
end

-- Which render, and what came of it. --------------------------------------------------------------

local function job_id()
  local context = select(8, reaper.get_action_context()) or ""
  -- "osc:/stepedit/finished:s=ID"; a bracket or a colon ends the text, an id has neither.
  return context:match("^osc:[^:%[]*[:%[]+s=([0-9a-f%-]+)%]?$")
end

local function spool_folder()
  local folder = reaper.GetExtState("stepedit-fx", "spool")
  if folder == "" then
    local fine, answer = reaper.GetUserInputs(TITLE, 1, "Spool folder,extrawidth=300", "")
    if not fine or answer == "" then return nil end
    folder = answer
    reaper.SetExtState("stepedit-fx", "spool", folder, true)
  end
  return (folder:gsub("\\", "/"):gsub("/+$", ""))
end

local function document(spool, id)
  local path = spool .. "/" .. id .. ".json"
  local file = io.open(path, "rb")
  if not file then
    reaper.DeleteExtState("stepedit-fx", "spool", true) -- so that it is asked for again
    return nil, "There is no " .. path .. ".\nIs this the folder that stepedit-fx serve has as --spool?"
  end
  local text = file:read(MAX_BYTES)
  file:close()
  local value, reason = json(text or "")
  if type(value) ~= "table" then return nil, path .. " is no JSON: " .. tostring(reason) end
  return value
end

-- The first sound the render wrote, if it lies in the spool folder: nothing else is opened.
local function rendered(spool, found)
  local first = type(found.files) == "table" and found.files[1]
  local path = type(first) == "table" and first.path
  if type(path) ~= "string" then return nil, "The render wrote no file." end
  local plain = path:gsub("\\", "/")
  local ending = plain:lower():match("%.(%w+)$")
  local is_sound = ending == "wav" or ending == "flac" or ending == "aiff" or ending == "ogg"
  if plain:sub(1, #spool + 1) ~= spool .. "/" or plain:find("/..", 1, true) or not is_sound then
    return nil, path .. " is no sound file in " .. spool .. "."
  end
  return { path = path, length_s = tonumber(first.length_s), graph = tostring(found.graph or "") }
end

local function item_by_guid(guid)
  for index = 0, reaper.CountMediaItems(0) - 1 do
    local item = reaper.GetMediaItem(0, index)
    local _, its = reaper.GetSetMediaItemInfo_String(item, "GUID", "", false)
    if its == guid then return item end
  end
end

-- The new take. -----------------------------------------------------------------------------------

local function insert(item, result, source)
  local old = reaper.GetActiveTake(item)
  local take = reaper.AddTakeToMediaItem(item)
  reaper.SetMediaItemTake_Source(take, source)
  local name = result.path:match("[^/\\]+$")
  reaper.GetSetMediaItemTakeInfo_String(take, "P_NAME", name, true)
  local rate, offset_s = 1, 0
  if old then -- the render has the recording's own time, so the item's stretch still applies
    rate = reaper.GetMediaItemTakeInfo_Value(old, "D_PLAYRATE")
    local keeps_pitch = reaper.GetMediaItemTakeInfo_Value(old, "B_PPITCH")
    reaper.SetMediaItemTakeInfo_Value(take, "D_PLAYRATE", rate)
    reaper.SetMediaItemTakeInfo_Value(take, "B_PPITCH", keeps_pitch)
    -- An item that begins before its recording does begins as much before the render.
    offset_s = math.min(reaper.GetMediaItemTakeInfo_Value(old, "D_STARTOFFS"), 0)
  end
  reaper.SetMediaItemTakeInfo_Value(take, "D_STARTOFFS", offset_s)
  reaper.SetActiveTake(take)
  local length_s = result.length_s and (result.length_s - offset_s) / rate
  local is_s = reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
  if ADAPT_LENGTH and length_s and length_s > 0 and math.abs(length_s - is_s) > 0.001 then
    reaper.SetMediaItemInfo_Value(item, "D_LENGTH", length_s)
  end
end

local function main()
  local id = job_id()
  if not id then
    return say("This script is run by an OSC message with the id of a render.\n"
      .. "Bind it: README.md, step 4.")
  end
  local spool = spool_folder()
  if not spool then return end
  local found, reason = document(spool, id)
  if not found then return say(reason) end
  if found.state ~= "done" then return say("The render failed: " .. tostring(found.error)) end
  local item = type(found.note) == "string" and found.note ~= "" and item_by_guid(found.note)
  -- A render that another program asked for, or of an item that is deleted by now.
  if not item then return end
  local result
  result, reason = rendered(spool, found)
  if not result then return say(reason) end
  local source = reaper.PCM_Source_CreateFromFile(result.path)
  if not source then return say("REAPER cannot read " .. result.path .. ".") end

  reaper.Undo_BeginBlock()
  insert(item, result, source)
  reaper.UpdateItemInProject(item)
  reaper.UpdateArrange()
  reaper.Undo_EndBlock("stepedit-fx: new take", -1)
end

main()
