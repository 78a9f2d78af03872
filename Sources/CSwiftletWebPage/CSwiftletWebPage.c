// Embeds the chat page with C23's #embed, as CSwiftletDemoModel does its model. The files are what is served: nothing
// translates or packs them.
//
// Owned by this target alone. Invariant: every file of page/ is in the table once.
#include "CSwiftletWebPage.h"

static const unsigned char api_js[] = {
#embed "page/api.js"
};
static const unsigned char chat_js[] = {
#embed "page/chat.js"
};
static const unsigned char conversation_js[] = {
#embed "page/conversation.js"
};
static const unsigned char dom_js[] = {
#embed "page/dom.js"
};
static const unsigned char icon_svg[] = {
#embed "page/icon.svg"
};
static const unsigned char index_html[] = {
#embed "page/index.html"
};
static const unsigned char inline_js[] = {
#embed "page/inline.js"
};
static const unsigned char markdown_js[] = {
#embed "page/markdown.js"
};
static const unsigned char settings_js[] = {
#embed "page/settings.js"
};
static const unsigned char style_css[] = {
#embed "page/style.css"
};
static const unsigned char views_js[] = {
#embed "page/views.js"
};

static const struct swiftlet_page_file files[] = {
    {"api.js", api_js, sizeof api_js},
    {"chat.js", chat_js, sizeof chat_js},
    {"conversation.js", conversation_js, sizeof conversation_js},
    {"dom.js", dom_js, sizeof dom_js},
    {"icon.svg", icon_svg, sizeof icon_svg},
    {"index.html", index_html, sizeof index_html},
    {"inline.js", inline_js, sizeof inline_js},
    {"markdown.js", markdown_js, sizeof markdown_js},
    {"settings.js", settings_js, sizeof settings_js},
    {"style.css", style_css, sizeof style_css},
    {"views.js", views_js, sizeof views_js},
};

const struct swiftlet_page_file *swiftlet_page_files(size_t *count) {
    *count = sizeof files / sizeof files[0];
    return files;
}
