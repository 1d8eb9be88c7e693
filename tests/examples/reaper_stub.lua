-- REAPER's Lua functions, as far as our script uses them. Runs the script and prints what it did,
-- one line a change: lua5.4 reaper_stub.lua SCRIPT CONTEXT SPOOL GUID LENGTH RATE OFFSET

local script, context, spool, guid = arg[1], arg[2], arg[3], arg[4]
local length, rate, offset = tonumber(arg[5]), tonumber(arg[6]), tonumber(arg[7])

local item = { kind = "item", guid = guid, D_LENGTH = length }
local old = { kind = "take", name = "old", D_PLAYRATE = rate, B_PPITCH = 1, D_STARTOFFS = offset }
item.takes, item.active = { old }, old

local function tell(...) print(table.concat({ ... }, "\t")) end
local function take(thing) assert(thing and thing.kind == "take", "not a take") return thing end
local function whole(thing) assert(thing and thing.kind == "item", "not an item") return thing end

reaper = {}
function reaper.get_action_context() return true, script, 0, 1, 0, 0, 0, context end
function reaper.GetExtState(section, key) assert(section and key) return spool end
function reaper.SetExtState(_, _, value) spool = value end
function reaper.DeleteExtState() tell("forget spool") end
function reaper.GetUserInputs() return false, "" end
function reaper.ShowMessageBox(text) tell("message", (text:gsub("\n", " "))) return 1 end
function reaper.CountMediaItems() return 1 end
function reaper.GetMediaItem(_, index) return index == 0 and item or nil end
function reaper.GetSetMediaItemInfo_String(thing, name, _, is_set)
  assert(name == "GUID" and not is_set)
  return true, whole(thing).guid
end
function reaper.GetMediaItemInfo_Value(thing, name) return assert(whole(thing)[name]) end
function reaper.SetMediaItemInfo_Value(thing, name, value)
  tell("item", name, string.format("%.6f", value))
  whole(thing)[name] = value
end
function reaper.GetActiveTake(thing) return whole(thing).active end
function reaper.AddTakeToMediaItem(thing)
  local new = { kind = "take" }
  table.insert(whole(thing).takes, new)
  tell("new take", tostring(#thing.takes))
  return new
end
function reaper.PCM_Source_CreateFromFile(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local head = file:read(4)
  file:close()
  return head == "RIFF" and { kind = "source", path = path } or nil
end
function reaper.SetMediaItemTake_Source(thing, source)
  assert(source.kind == "source")
  tell("source", source.path)
  take(thing).source = source
  return true
end
function reaper.GetSetMediaItemTakeInfo_String(thing, name, text, is_set)
  assert(name == "P_NAME" and is_set and take(thing))
  tell("name", text)
  return true, text
end
function reaper.GetMediaItemTakeInfo_Value(thing, name) return assert(take(thing)[name]) end
function reaper.SetMediaItemTakeInfo_Value(thing, name, value)
  tell("take", name, string.format("%.6f", value))
  take(thing)[name] = value
end
function reaper.SetActiveTake(thing)
  item.active = take(thing)
  tell("active", thing == old and "old" or "new")
end
function reaper.UpdateItemInProject(thing) whole(thing) end
function reaper.UpdateArrange() tell("update") end
function reaper.Undo_BeginBlock() tell("undo begin") end
function reaper.Undo_EndBlock(name) tell("undo end", name) end
setmetatable(reaper, { __index = function(_, name) error("REAPER has no " .. name) end })

dofile(script)
