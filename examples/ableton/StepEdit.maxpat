{
  "patcher": {
    "fileversion": 1,
    "appversion": {
      "major": 8,
      "minor": 6,
      "revision": 0,
      "architecture": "x64",
      "modernui": 1
    },
    "classnamespace": "box",
    "rect": [
      100.0,
      100.0,
      640.0,
      360.0
    ],
    "openinpresentation": 1,
    "default_fontsize": 12.0,
    "default_fontface": 0,
    "default_fontname": "Arial",
    "gridsize": [
      15.0,
      15.0
    ],
    "devicewidth": 330.0,
    "description": "Has stepedit-fx render the selected clip and puts the result into the next empty slot.",
    "boxes": [
      {
        "box": {
          "id": "obj-device",
          "maxclass": "newobj",
          "numinlets": 1,
          "numoutlets": 3,
          "patching_rect": [
            30.0,
            30.0,
            95.0,
            22.0
          ],
          "outlettype": [
            "bang",
            "int",
            "int"
          ],
          "text": "live.thisdevice"
        }
      },
      {
        "box": {
          "id": "obj-start",
          "maxclass": "message",
          "numinlets": 2,
          "numoutlets": 1,
          "patching_rect": [
            30.0,
            65.0,
            40.0,
            22.0
          ],
          "outlettype": [
            ""
          ],
          "text": "start"
        }
      },
      {
        "box": {
          "id": "obj-button",
          "maxclass": "textbutton",
          "numinlets": 1,
          "numoutlets": 3,
          "patching_rect": [
            160.0,
            30.0,
            150.0,
            28.0
          ],
          "outlettype": [
            "",
            "",
            "int"
          ],
          "text": "Render clip",
          "parameter_enable": 0,
          "mode": 0,
          "presentation": 1,
          "presentation_rect": [
            10.0,
            28.0,
            150.0,
            28.0
          ]
        }
      },
      {
        "box": {
          "id": "obj-render",
          "maxclass": "message",
          "numinlets": 2,
          "numoutlets": 1,
          "patching_rect": [
            160.0,
            65.0,
            55.0,
            22.0
          ],
          "outlettype": [
            ""
          ],
          "text": "render"
        }
      },
      {
        "box": {
          "id": "obj-receive",
          "maxclass": "newobj",
          "numinlets": 1,
          "numoutlets": 1,
          "patching_rect": [
            330.0,
            65.0,
            110.0,
            22.0
          ],
          "outlettype": [
            ""
          ],
          "text": "udpreceive 9102"
        }
      },
      {
        "box": {
          "id": "obj-js",
          "maxclass": "newobj",
          "numinlets": 1,
          "numoutlets": 2,
          "patching_rect": [
            160.0,
            115.0,
            80.0,
            22.0
          ],
          "outlettype": [
            "",
            ""
          ],
          "text": "js stepedit.js",
          "saved_object_attributes": {
            "filename": "stepedit.js",
            "parameter_enable": 0
          }
        }
      },
      {
        "box": {
          "id": "obj-send",
          "maxclass": "newobj",
          "numinlets": 1,
          "numoutlets": 0,
          "patching_rect": [
            160.0,
            160.0,
            150.0,
            22.0
          ],
          "text": "udpsend 127.0.0.1 9100"
        }
      },
      {
        "box": {
          "id": "obj-set",
          "maxclass": "newobj",
          "numinlets": 1,
          "numoutlets": 1,
          "patching_rect": [
            330.0,
            160.0,
            75.0,
            22.0
          ],
          "outlettype": [
            ""
          ],
          "text": "prepend set"
        }
      },
      {
        "box": {
          "id": "obj-status",
          "maxclass": "message",
          "numinlets": 2,
          "numoutlets": 1,
          "patching_rect": [
            330.0,
            195.0,
            260.0,
            22.0
          ],
          "outlettype": [
            ""
          ],
          "text": "",
          "presentation": 1,
          "presentation_rect": [
            10.0,
            66.0,
            300.0,
            22.0
          ]
        }
      },
      {
        "box": {
          "id": "obj-title",
          "maxclass": "comment",
          "numinlets": 1,
          "numoutlets": 0,
          "patching_rect": [
            30.0,
            230.0,
            300.0,
            20.0
          ],
          "text": "stepedit-fx: the selected clip, edited",
          "presentation": 1,
          "presentation_rect": [
            10.0,
            4.0,
            300.0,
            20.0
          ]
        }
      },
      {
        "box": {
          "id": "obj-in",
          "maxclass": "newobj",
          "numinlets": 2,
          "numoutlets": 2,
          "patching_rect": [
            460.0,
            230.0,
            50.0,
            22.0
          ],
          "outlettype": [
            "signal",
            "signal"
          ],
          "text": "plugin~"
        }
      },
      {
        "box": {
          "id": "obj-out",
          "maxclass": "newobj",
          "numinlets": 2,
          "numoutlets": 2,
          "patching_rect": [
            460.0,
            270.0,
            55.0,
            22.0
          ],
          "outlettype": [
            "signal",
            "signal"
          ],
          "text": "plugout~"
        }
      }
    ],
    "lines": [
      {
        "patchline": {
          "source": [
            "obj-device",
            0
          ],
          "destination": [
            "obj-start",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-start",
            0
          ],
          "destination": [
            "obj-js",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-button",
            0
          ],
          "destination": [
            "obj-render",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-render",
            0
          ],
          "destination": [
            "obj-js",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-receive",
            0
          ],
          "destination": [
            "obj-js",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-js",
            0
          ],
          "destination": [
            "obj-send",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-js",
            1
          ],
          "destination": [
            "obj-set",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-set",
            0
          ],
          "destination": [
            "obj-status",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-in",
            0
          ],
          "destination": [
            "obj-out",
            0
          ]
        }
      },
      {
        "patchline": {
          "source": [
            "obj-in",
            1
          ],
          "destination": [
            "obj-out",
            1
          ]
        }
      }
    ],
    "dependency_cache": [
      {
        "name": "stepedit.js",
        "bootpath": ".",
        "type": "TEXT",
        "implicit": 1
      }
    ],
    "autosave": 0
  }
}
